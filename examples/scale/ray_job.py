"""Ray: a Parquet folder in, a Parquet folder with vectors out, by a pool of actors.

`python examples/scale/ray_job.py corpus/ vectors/ --actors 2 --cpus 4` needs `pip install 'bge-onnx[ray]'` on every
node.
"""

from __future__ import annotations

import argparse

import ray.data

from bge_onnx.bulk.ray import embed_column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", help="Parquet with the column text")
    parser.add_argument("target", help="folder to write")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name, or folder that every node sees")
    parser.add_argument("--actors", type=int, default=1, help="how many")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs, and so threads, of each")
    arguments = parser.parse_args()
    dataset = ray.data.read_parquet(arguments.source)
    vectors = embed_column(dataset, arguments.model, actors=arguments.actors, num_cpus=arguments.cpus)
    vectors.write_parquet(arguments.target)


if __name__ == "__main__":
    main()
