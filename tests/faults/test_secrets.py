"""A planted key is nowhere in what a run leaves: in files, archives, databases and tables.

The whole small run has the key in its environment (`finished_run`), and here the release is
downloaded with it, from a server of the test's. That exports keep to the sources' levels is in
tests/kg/test_export.py, further ways for the key to escape in tests/sources/test_umls.py.
"""

import base64
import gzip
import io
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import duckdb
import polars as pl
import pytest


@pytest.fixture
def server():
    """A server of UMLS that gives one archive and tells in its paths what it was asked."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("2026AA/META/MRCONSO.RRF", "C0000001|ENG|P||PF||Y|A1||||X|PT|1|A|0|N||\n")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            broken = len(asked) == 1
            self.send_response(503 if broken else 200)
            body = b"" if broken else packed.getvalue()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    made.asked = asked
    yield made
    made.shutdown()
    made.server_close()


def forms(key):
    """The key as it is, in an address, and within base64 at each of its three places."""
    found = [key, quote(key, safe="")]
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + key.encode()).decode()
        found.append(text[4 if shift else 0 : -4])
    return [form.encode() for form in found]


def readable(path):
    """Yield what is in a file: its bytes, and those that it has packed."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".gz":
        yield gzip.decompress(content)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    elif path.suffix == ".parquet":
        yield str(pl.read_parquet(path).rows()).encode()
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for (name,) in connection.execute("SHOW TABLES").fetchall():
                yield str(connection.execute(f"FROM {name}").fetchall()).encode()
    elif path.suffix == ".html":
        for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
            yield base64.b64decode(packed)


def test_no_file_of_a_run_holds_the_key(small_run, umls_key, server):
    address = f"http://127.0.0.1:{server.server_port}"
    run = small_run
    run.replace("config/config.yaml", "sources:\n  reg", f"sources:\n  umls_url: {address}\n  reg")
    run.replace("config/config.yaml", "registry:", "backoff_seconds: 0.01\n  registry:")
    key = {"UMLS_API_KEY": umls_key}
    command = ("--verbose", "sources", "umls", "--release", "2026AA", "--output", "data/umls.zip")
    said = [run.balign(*command, **key)]
    assert any(quote(umls_key, safe="") in path for path in server.asked)  # it was used
    said.append(
        run.snakemake("--printshellcmds", "--verbose", "--forcerun", "kg_build", "--", "kg", **key)
    )
    said.append(run.snakemake("--report", "report.html", **key))
    said.append(run.balign("why", "kg", **key))
    run.results.joinpath("said.log").write_text("".join(said))
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert {".html", ".duckdb", ".parquet", ".log", ".zip"} <= {path.suffix for path in files}
    assert any(".snakemake" in path.parts for path in files)
    wanted = forms(umls_key)
    found = {
        str(path.relative_to(run.folder))
        for path in files
        for content in readable(path)
        if any(form in content for form in wanted)
    }
    assert found == set()


def test_the_scan_finds_a_key(tmp_path, umls_key):
    (tmp_path / "a.gz").write_bytes(gzip.compress(f"?apiKey={quote(umls_key, safe='')}".encode()))
    pl.DataFrame({"a": [umls_key]}).write_parquet(tmp_path / "a.parquet")
    coded = base64.b64encode(f"<p>{umls_key}".encode()).decode()
    (tmp_path / "a.html").write_text(f"src='data:text/html;base64,{coded}'")
    (tmp_path / "b.txt").write_text(base64.b64encode(f"ab{umls_key}cd".encode()).decode())
    for path in tmp_path.iterdir():
        assert any(form in content for content in readable(path) for form in forms(umls_key)), path
