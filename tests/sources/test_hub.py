"""The hub's client against a server of the hub's protocol that the test starts itself."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from balign.files import read_json

SHA = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": WEIGHTS}


class Hub(BaseHTTPRequestHandler):
    files = FILES

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.split("?")[0]
        headers = {}
        if path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in self.files]
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": len(data),
                    "oid": hashlib.sha1(data).hexdigest(),
                }
                for name, data in self.files.items()
            ]
            info = {"id": "org/name", "modelId": "org/name", "sha": SHA, "siblings": siblings}
            data = json.dumps(tree if "/tree/" in path else info).encode()
            headers["Content-Type"] = "application/json"
        else:
            name = path.rpartition("/")[2]
            if "/org/name/resolve/" not in path or name not in self.files:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = self.files[name]
            headers |= {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": SHA}
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(tmp_path):
    servers = []

    def start(files):
        handler = type("Handler", (Hub,), {"files": files})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_fetches_configuration_and_safetensors_and_records_digests(balign, hub, tmp_path):
    environment = hub({**FILES, "pytorch_model.bin": b"pickle"})
    folder = tmp_path / "encoder"
    done = balign("sources", "encoder", "hub:org/name", "--folder", folder, **environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {*FILES, "MANIFEST.json"}
    manifest = read_json(folder / "MANIFEST.json")
    assert manifest["version"] == SHA
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert manifest["files"]["model.safetensors"]["sha256"] == digest


@pytest.mark.parametrize(
    ("encoder", "files", "said"),
    [
        ("hub:org/name", {"pytorch_model.bin": b"pickle"}, "has no weights in safetensors"),
        ("hub:org/other", FILES, "cannot be fetched from the hub"),
        ("hub:nothing", FILES, "does not name a model of the hub"),
    ],
)
def test_what_cannot_be_had_is_explained_and_leaves_nothing(
    balign, hub, tmp_path, encoder, files, said
):
    done = balign("sources", "encoder", encoder, "--folder", tmp_path / "encoder", **hub(files))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]
