"""Real engines: Spark with two executors and Ray with two nodes, on this machine. What is absent is skipped by name."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.corpus import sentences

ROOT = Path(__file__).resolve().parents[2]
JAVA = 17  # what Spark 4 needs


def needed(module: str) -> Any:
    """A module, or a skip that says what is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs the package {error.name}, which this environment has not")


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return sentences(240)


@pytest.fixture(scope="session")
def paths() -> str:
    """What executors and actors must have on their path to import what a test sends them."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture(scope="session")
def java() -> str:
    program = shutil.which("java") or str(Path(os.environ.get("JAVA_HOME", "/nowhere"), "bin", "java"))
    try:
        told = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"Spark needs Java {JAVA} or newer, and there is no java: apt-get install openjdk-17-jre-headless")
    version = told.split('"')[1].split(".")[0]
    if int(version) < JAVA:
        pytest.skip(f"Spark needs Java {JAVA} or newer, this is {version}")
    return program


@pytest.fixture(scope="session")
def spark(
    java: str,  # noqa: ARG001
    paths: str,
    tmp_path_factory: pytest.TempPathFactory,
    scratch_cache: Path,
) -> Iterator[Any]:
    """A session on two executors of one core each, processes of their own as on a cluster."""
    sql = needed("pyspark.sql")
    needed("pandas")
    patch = pytest.MonkeyPatch()
    work = tmp_path_factory.mktemp("spark")
    patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    patch.setenv("SPARK_LOCAL_HOSTNAME", "localhost")
    patch.setenv("SPARK_WORKER_DIR", str(work / "workers"))
    patch.setenv("SPARK_LOCAL_DIRS", str(work / "local"))
    patch.setenv("PYSPARK_PYTHON", sys.executable)
    patch.setenv("PYTHONPATH", paths)
    session = (
        sql.SparkSession.builder.master("local-cluster[2,1,1024]")
        .appName("bge-onnx")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "localhost")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.executor.memory", "512m")
        .config("spark.executorEnv.PYTHONPATH", paths)
        .config("spark.executorEnv.BGE_CACHE", str(scratch_cache))
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.scheduler.minRegisteredResourcesRatio", "1.0")
        .config("spark.sql.warehouse.dir", str(work / "warehouse"))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
    patch.undo()


@pytest.fixture(scope="session")
def ray_cluster(paths: str, scratch_cache: Path) -> Iterator[Any]:
    """A cluster of two nodes of two CPUs each, raylets of their own, on this machine."""
    ray = needed("ray")
    needed("ray.data")
    cluster_utils = needed("ray.cluster_utils")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_TRAIN_V2_ENABLED", "0")
    patch.setenv("PYTHONPATH", paths)
    patch.setenv("BGE_CACHE", str(scratch_cache))
    node = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()
    cluster.shutdown()
    patch.undo()
