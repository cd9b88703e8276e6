"""Encoders from the Hugging Face hub: ``hub:ORGANISATION/NAME``, then maybe ``@REVISION``.

Weights as safetensors only: other formats are pickles, which run code when they are read. The
registry cannot hold a sha256 for a model that a user names, so the manifest records the commit and
the digests of what was fetched, and ``balign sources verify`` holds the files to them later.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from balign.errors import SourceError
from balign.files import atomic_path, sha256_file, write_json

log = logging.getLogger(__name__)

HUB = "hub:"
_ENCODER = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?\Z")
_FILES = ["*.json", "*.txt", "*.model", "LICENSE*", "NOTICE*", "*.safetensors"]


def encoder_key(encoder: str) -> str:
    """Return a folder name for an encoder: a registry name, a folder or ``hub:...``."""
    return re.sub(r"[^\w.@-]+", "--", encoder.removeprefix(HUB).strip("/"))


def hub_manifest_path(data: Path, encoder: str) -> Path:
    """Return ``<data>/encoders/<key>/MANIFEST.json``."""
    return data / "encoders" / encoder_key(encoder) / "MANIFEST.json"


def sources_encoder(encoder: str, folder: Path) -> None:
    """Fetch an encoder's configuration, tokenizer and safetensors weights into ``folder``.

    The hub's address and token come from the library's own variables (``HF_ENDPOINT``,
    ``HF_TOKEN``).

    Raises:
        SourceError: if the name is malformed, the hub does not answer or refuses, or the model has
            no weights in safetensors.
    """
    import huggingface_hub
    import requests

    match = _ENCODER.match(encoder)
    if match is None:
        raise SourceError(
            f"'{encoder}' does not name a model of the hub",
            hint="write hub:ORGANISATION/NAME or hub:ORGANISATION/NAME@REVISION",
        )
    name, revision = match["name"], match["revision"]
    try:
        info = huggingface_hub.HfApi().model_info(name, revision=revision)
        files = [item.rfilename for item in info.siblings or []]
        if not any(file.endswith(".safetensors") for file in files):
            raise SourceError(
                f"{name} has no weights in safetensors",
                where=f"hub, revision {info.sha}",
                hint="pickled weights are not read; name a revision that has safetensors (often "
                "@refs/pr/N, see the model's discussions), or give a folder with converted weights",
            )
        with atomic_path(folder) as temporary:
            huggingface_hub.snapshot_download(
                name, revision=info.sha, local_dir=temporary, allow_patterns=_FILES
            )
            shutil.rmtree(temporary / ".cache", ignore_errors=True)
            write_json(temporary / "MANIFEST.json", _manifest(name, info, temporary))
    except (huggingface_hub.errors.HfHubHTTPError, requests.RequestException, OSError) as error:
        raise SourceError(
            f"{name} cannot be fetched from the hub: {type(error).__name__}",
            where=f"hub, revision {revision or 'main'}",
            hint="check the name, the network and HF_TOKEN (gated models), or copy the model into "
            "a folder and give its path as `encoder`",
        ) from None
    log.info("%s: revision %s, %d files", name, info.sha, len(files))


def _manifest(name: str, info: object, folder: Path) -> dict[str, object]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    card = getattr(info, "card_data", None)
    return {
        "name": name,
        "version": getattr(info, "sha", None),
        "format": "huggingface",
        "licence": (card.get("license") if card else None) or "see the model's page",
        "homepage": f"https://huggingface.co/{name}",
        "status": "ok",
        "reason": None,
        "files": {
            path.relative_to(folder).as_posix(): {
                "sha256": sha256_file(path),
                "bytes": path.stat().st_size,
                "place": f"hub:{name}@{getattr(info, 'sha', None)}",
            }
            for path in found
        },
    }
