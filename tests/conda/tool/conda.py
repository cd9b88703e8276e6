"""A conda command line on py-rattler: just what `snakemake --use-conda` asks of conda.

Reads channel_alias, custom_channels, channel_priority and pkgs_dirs from the file that $CONDARC
names (else ~/.condarc). The solver and the installer are rattler's own.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rattler import Channel, ChannelConfig, ChannelPriority, VirtualPackage, install, solve
from rattler.platform import Platform

VERSION = "26.5.3"  # the conda release whose command line this follows
ROOT = Path(__file__).resolve().parent.parent
PLATFORM = str(Platform.current())
FLAGS = ("--quiet", "--no-default-packages", "--yes", "--explicit", "--md5", "--json")


def condarc():
    path = Path(os.environ.get("CONDARC") or Path.home() / ".condarc")
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def channel(name, rc):
    base = (rc.get("custom_channels") or {}).get(name) or rc.get("channel_alias")
    alias = (base or "https://conda.anaconda.org").rstrip("/") + "/"
    return Channel(name, ChannelConfig(channel_alias=alias))


async def create(file, prefix):
    """Solve and install the conda packages, then let the environment's pip install the rest."""
    rc, spec = condarc(), yaml.safe_load(file.read_text())
    named = [one for one in spec.get("channels", []) if one != "nodefaults"]
    strict = rc.get("channel_priority") == "strict"
    records = await solve(
        sources=[channel(name, rc) for name in named or rc.get("channels", ["conda-forge"])],
        specs=[one for one in spec["dependencies"] if isinstance(one, str)],
        platforms=[Platform(PLATFORM), Platform("noarch")],
        virtual_packages=VirtualPackage.detect(),
        channel_priority=ChannelPriority.Strict if strict else ChannelPriority.Disabled,
    )
    packages = (rc.get("pkgs_dirs") or [str(ROOT / "packages")])[0]
    await install(records=records, target_prefix=prefix, cache_dir=packages, show_progress=False)
    pip = [line for one in spec["dependencies"] if isinstance(one, dict) for line in one["pip"]]
    if not pip:
        return
    # As conda does: a requirements file beside the environment's, pip run from that folder.
    with tempfile.NamedTemporaryFile(
        "w", prefix="condaenv.", suffix=".requirements.txt", dir=file.parent, delete=False
    ) as requirements:
        requirements.write("\n".join(pip) + "\n")
    python = [str(prefix / "bin/python"), "-m", "pip", "install", "-U", "-r", requirements.name]
    try:
        subprocess.run([*python, "--exists-action=b"], check=True, cwd=file.parent)
    finally:
        Path(requirements.name).unlink()


def installed(prefix):
    return [json.loads(path.read_text()) for path in sorted((prefix / "conda-meta").glob("*.json"))]


def main(words):
    if words in (["--version"], ["-V"]):
        print(f"conda {VERSION}")
    elif words[:1] == ["info"]:
        facts = {"conda_prefix": str(ROOT), "root_prefix": str(ROOT), "platform": PLATFORM}
        print(json.dumps(facts | {"conda_version": VERSION, "envs_dirs": [str(ROOT / "envs")]}))
    elif words[:1] == ["config"]:
        value = condarc().get("channel_priority")
        found = {"channel_priority": value} if value else {}
        print(json.dumps({"get": found, "success": True}))
    elif words[:1] != ["clean"]:
        act(words)


def act(words):
    verb = " ".join(words[:2]) if words[0] == "env" else words[0]
    parser = argparse.ArgumentParser(prog="conda")
    for flag in FLAGS:
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--file")
    parser.add_argument("--prefix", "-p", required=True)
    given = parser.parse_args(words[len(verb.split()) :])
    prefix = Path(given.prefix).absolute()
    if verb == "env create":
        asyncio.run(create(Path(given.file).absolute(), prefix))
    elif verb == "list" and given.explicit:
        print(f"# platform: {PLATFORM}\n@EXPLICIT")
        for record in installed(prefix):
            print(record["url"] + ("#" + record["md5"] if given.md5 else ""))
    else:
        sys.exit(f"conda: not known here: {words}")


main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)  # py-rattler's runtime now and then crashes while the interpreter shuts down
