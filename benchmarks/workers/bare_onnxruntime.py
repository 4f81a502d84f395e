"""The published graph, one input a call, with nothing around it: the yardstick for vectors and for latency."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from _protocol import Engine, Inputs, Request, Results, serve


def open_engine(runtime: ModuleType, request: Request) -> Engine:
    numpy = importlib.import_module("numpy")
    folder = Path(request.model)
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = request.threads or 0
    session = runtime.InferenceSession(folder / "onnx" / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(single: str | list[str]) -> Results:
        encoded = tokenizer.encode(*single) if isinstance(single, list) else tokenizer.encode(single)
        every = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        feed = {name: numpy.array([every[name]], dtype=numpy.int64) for name in names}
        output = session.run(None, feed)[0]
        if request.task == "rerank":
            return output[0, 0]
        first = output[0, 0]
        return first / numpy.linalg.norm(first)

    def each(inputs: Inputs) -> Results:
        return [run(single) for single in inputs]

    return each


if __name__ == "__main__":
    serve("onnxruntime", open_engine)
