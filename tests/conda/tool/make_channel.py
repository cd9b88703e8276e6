"""Build a local conda channel of this machine's own CPython and the index's pip.

make_channel.py FOLDER; standard library only.
"""

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

SKIPPED = {"test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "lib2to3"}
ENTRY = {"build_number": 0, "constrains": [], "timestamp": 1700000000000}


def python_entries(prefix, version):
    """Yield (path in the package, content or link target, whether the prefix is replaced)."""
    short = ".".join(version.split(".")[:2])
    files = [prefix / f"bin/python{short}", *sorted((prefix / "lib").glob("libpython*"))]
    for top in (prefix / f"lib/python{short}", prefix / f"include/python{short}"):
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if name not in SKIPPED)
            files += [Path(folder) / name for name in names if not name.endswith((".pyc", ".a"))]
    for path in files:
        name = path.relative_to(prefix).as_posix()
        if path.is_symlink():
            yield name, ("link", str(path.readlink())), False
        else:
            text = path.suffix in {".py", ".pc"} or "config-" in name
            yield name, path, text
    for name in ("python", "python3"):
        yield f"bin/{name}", ("link", f"python{short}"), False
    yield f"lib/python{short}/site-packages/README.txt", b"Of a local channel.\n", False


def write_package(folder, index, entries, prefix="", link=None):
    """Write a package and return its file name and its record for repodata.json."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{index['name']}-{index['version']}-{index['build']}.tar.bz2"
    paths = []
    with tarfile.open(out, "w:bz2", compresslevel=1) as archive:

        def add(name, data, mode=0o644):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))

        for name, content, relocated in entries:
            record = {"_path": name, "path_type": "hardlink"}
            if isinstance(content, tuple):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, content[1]
                archive.addfile(info)
                record["path_type"], data = "softlink", b""
            else:
                on_disk = isinstance(content, Path)
                data = content.read_bytes() if on_disk else content
                add(name, data, 0o755 if on_disk and os.access(content, os.X_OK) else 0o644)
            record |= {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}
            if relocated and prefix.encode() in data:
                record |= {"file_mode": "text", "prefix_placeholder": prefix}
            paths.append(record)
        add("info/index.json", json.dumps(index).encode())
        add("info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
        add("info/files", ("\n".join(path["_path"] for path in paths) + "\n").encode())
        relocated = [path["_path"] for path in paths if "prefix_placeholder" in path]
        if relocated:
            lines = [f"{prefix} text {name}\n" for name in relocated]
            add("info/has_prefix", "".join(lines).encode())
        if link:
            add("info/link.json", json.dumps(link).encode())
    data = out.read_bytes()
    sums = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}
    return out.name, index | sums | {"size": len(data)}


def build_python(channel):
    """Package the running CPython."""
    prefix, version = Path(sys.base_prefix), platform.python_version()
    index = {
        "name": "python", "version": version, "build": "h0_local_cpython", "subdir": "linux-64",
        "arch": "x86_64", "platform": "linux", "depends": [], "license": "Python-2.0", **ENTRY,
    }  # fmt: skip
    entries = python_entries(prefix, version)
    return write_package(channel / "linux-64", index, entries, prefix=str(prefix))


def build_wheel(channel, wheel):
    """Package a pure Python wheel."""
    name, version = wheel.name.split("-")[:2]
    entries, scripts = [], []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.endswith("/"):
                continue
            data = archive.read(member)
            entries.append((f"site-packages/{member}", data, False))
            if member.endswith(".dist-info/METADATA"):
                installer = member.replace("METADATA", "INSTALLER")
                entries.append((f"site-packages/{installer}", b"conda\n", False))
            if member.endswith("entry_points.txt"):
                console = data.decode().partition("[console_scripts]")[2].partition("[")[0]
                scripts += [line.strip() for line in console.splitlines() if "=" in line]
    index = {
        "name": name, "version": version, "build": "pyh0_local", "subdir": "noarch",
        "noarch": "python", "arch": None, "platform": None, "depends": ["python >=3.9"],
        "license": "MIT", **ENTRY,
    }  # fmt: skip
    noarch = {"type": "python", "entry_points": scripts}
    link = {"noarch": noarch, "package_metadata_version": 1}
    return write_package(channel / "noarch", index, entries, link=link)


def main():
    channel = Path(sys.argv[1])
    records = {"linux-64": [build_python(channel)]}
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "pip"]
        subprocess.run(download, check=True)
        records["noarch"] = [build_wheel(channel, wheel) for wheel in Path(folder).glob("*.whl")]
    for subdir, found in records.items():
        data = {"info": {"subdir": subdir}, "packages": dict(found), "packages.conda": {}}
        text = json.dumps(data | {"removed": [], "repodata_version": 1})
        (channel / subdir / "repodata.json").write_text(text)


main()
