#!/bin/sh
# Runs in a manylinux container (make manylinux): the core's wheel from /repository, its library built against an old
# glibc, proved by auditwheel and named after it, into /result.
set -eu

/opt/python/cp312-cp312/bin/python -m venv /tmp/venv
/tmp/venv/bin/python -m pip --disable-pip-version-check --quiet install -c /repository/constraints.txt pip hatchling
cp -r /repository/packages/core /tmp/core
BGE_KERNELS=1 /tmp/venv/bin/python -m pip --disable-pip-version-check wheel \
	--no-deps --no-build-isolation --wheel-dir /tmp/built /tmp/core
auditwheel repair --plat manylinux_2_28_x86_64 --only-plat --wheel-dir /result /tmp/built/bge_onnx-*.whl
# To whom the folder belongs outside, not to root.
chown "$(stat -c %u:%g /result)" /result/*.whl
