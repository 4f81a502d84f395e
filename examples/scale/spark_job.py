"""Spark: a Parquet folder in, a Parquet folder with vectors out.

`spark-submit examples/scale/spark_job.py corpus/ vectors/` needs `pip install 'bge-onnx[spark]'` on driver and
executors. A machine's executors share the weights' memory; give a task the CPUs it shall use with
`--conf spark.task.cpus=4`.
"""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from bge_onnx.bulk.spark import embed_column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", help="Parquet with the columns id and text")
    parser.add_argument("target", help="folder to write")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help='name, shared folder, or "sparkfiles:NAME"')
    arguments = parser.parse_args()
    spark = SparkSession.builder.appName("embed").getOrCreate()
    # Half a minute to some minutes of work a task: what a killed executor loses.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "2048")
    frame = spark.read.parquet(arguments.source).select("id", "text")
    embed_column(frame, arguments.model).write.parquet(arguments.target)


if __name__ == "__main__":
    main()
