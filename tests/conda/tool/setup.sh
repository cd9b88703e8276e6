#!/usr/bin/env bash
# setup.sh DEST: a `conda` that `snakemake --use-conda` accepts, where only a package index can be
# reached. It is py-rattler's solver and installer behind conda's command line, with a local channel
# called conda-forge that holds this machine's own Python and pip. See ../README.md for what that
# proves.
set -euo pipefail
dest=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dest/bin"
"${PYTHON:-python3}" -m venv "$dest/python"
"$dest/python/bin/python" -m pip install --quiet --disable-pip-version-check py-rattler==0.28.0 pyyaml
{ echo "#!$dest/python/bin/python"; cat "$here/conda.py"; } >"$dest/bin/conda"
chmod +x "$dest/bin/conda"
cp "$here/activate" "$dest/bin/activate"
"$dest/python/bin/python" "$here/make_channel.py" "$dest/channels/conda-forge"
cat >"$dest/condarc" <<CONDARC
channel_alias: file://$dest/channels
channel_priority: strict
pkgs_dirs: [$dest/packages]
CONDARC
echo "export CONDARC=$dest/condarc PATH=$dest/bin:\$PATH"
