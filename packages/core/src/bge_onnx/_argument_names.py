"""What arguments are called in the libraries that people come from, and what they are called here."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError

# What arguments are called elsewhere, and which of ours does the same.
_ELSEWHERE: Mapping[str, str] = {
    "model_name": "model",
    "model_name_or_path": "model",
    "model_id": "model",
    "model_path": "model",
    "folder_name": "model",
    "specific_model_path": "model",
    "repo_id": "model",
    "device": "providers",
    "devices": "providers",
    "device_ids": "providers",
    "target_devices": "providers",
    "cuda": "providers",
    "use_cuda": "providers",
    "onnx_execution_provider": "providers",
    "batch_size": "token_budget",
    "embed_batch_size": "token_budget",
    "max_seq_length": "max_length",
    "max_tokens": "max_length",
    "passage_max_length": "max_length",
    "query_max_length": "max_length",
    "normalize_embeddings": "normalize",
    "query_instruction_for_retrieval": "query_instruction",
    "query_prefix": "query_instruction",
    "query_prompt": "query_instruction",
    "prefix": "query_instruction",
    "prompt": "query_instruction",
    "prompts": "query_instruction",
    "default_prompt_name": "query_instruction",
    "pooling_mode": "pooling",
    "pooling_method": "pooling",
    "cache_folder": "cache_dir",
    "working_dir": "cache_dir",
    "use_fp16": "precision",
    "use_bf16": "precision",
    "dtype": "precision",
    "torch_dtype": "precision",
    "quantize": "precision",
    "quantizer_settings": "precision",
    "parallel": "threads",
    "num_workers": "threads",
    "num_threads": "threads",
    "multi_process": "threads",
    "parallel_process": "threads",
    "show_progress_bar": "show_progress",
    "progress_bar": "show_progress",
    "use_auth_token": "token",
    "hf_token": "token",
    "huggingfacehub_api_token": "token",
    "meta_data_separator": "embedding_separator",
    "top_k": "top_k",
    "top_n": "top_k",
    "threshold": "score_threshold",
    "cache": "embeddings_cache",
}

_AS_THEY_ARE = "this model reads texts as they are; leave it out"
_OWN_ARGUMENTS = "what it holds elsewhere are arguments of their own here, such as providers and token_budget"
_NO_INSTRUCTION = "BGE puts no instruction before passages; leave it out"
_PAIRS_AS_THEY_ARE = "BGE's cross-encoders read query and passage as they are; leave it out"
_SIGMOID = "scores are the sigmoid of the model's logit, from 0 to 1, unless the logits are asked for"

# What has no counterpart, and why that is no loss.
_NEEDLESS: Mapping[str, str] = {
    "model_kwargs": _OWN_ARGUMENTS,
    "encode_kwargs": _OWN_ARGUMENTS,
    "query_encode_kwargs": _OWN_ARGUMENTS,
    "cross_encoder_kwargs": _OWN_ARGUMENTS,
    "tokenizer": "the tokenizer is the model's own; leave it out",
    "tokenizer_name": "the tokenizer is the model's own; leave it out",
    "tokenizer_kwargs": "the tokenizer is the model's own; leave it out",
    "config_kwargs": "the configuration is the model's own; leave it out",
    "optimizer_settings": "the graph is optimised anyway; leave it out",
    "trust_remote_code": "no code from a model's repository ever runs here; leave it out",
    "backend": "everything runs on ONNX Runtime; leave it out",
    "embed_instruction": _NO_INSTRUCTION,
    "text_instruction": _NO_INSTRUCTION,
    "doc_embed_type": _NO_INSTRUCTION,
    "passage_instruction_for_retrieval": _NO_INSTRUCTION,
    "document_prefix": _NO_INSTRUCTION,
    "document_suffix": "BGE puts nothing behind passages; leave it out",
    "query_suffix": "BGE puts nothing behind queries; leave it out",
    "suffix": "BGE puts nothing behind queries; leave it out",
    "query_instruction_format": "the instruction goes straight before the query, as in BGE's training; leave it out",
    "query_instruction_for_rerank": _PAIRS_AS_THEY_ARE,
    "passage_instruction_for_rerank": _PAIRS_AS_THEY_ARE,
    "query_instruction": _AS_THEY_ARE,
    "query_instruction_for_retrieval": _AS_THEY_ARE,
    "query_prefix": _AS_THEY_ARE,
    "query_prompt": _AS_THEY_ARE,
    "prefix": _AS_THEY_ARE,
    "prompt": _AS_THEY_ARE,
    "prompts": _AS_THEY_ARE,
    "lazy_load": "models are opened by the constructor; leave it out",
    "truncate_dim": "BGE's vectors are not made to be cut; leave it out",
    "dimensions": "BGE's vectors are not made to be cut; leave it out",
    "normalize": _SIGMOID,
    "activation_fct": _SIGMOID,
    "calibration_factor": _SIGMOID,
    "convert_to_numpy": "vectors have the type of the interface; leave it out",
    "top_k": "pass it to rank()",
    "top_n": "pass top_k to rank()",
    "score_threshold": "pass threshold to rank()",
    "client": "the model is opened by its name; pass model",
}


def check_argument_names(
    given: Collection[str], *, allowed: Collection[str], owner: str, renamed: Mapping[str, str] | None = None
) -> None:
    """Refuse an argument that its owner does not take, and say what it is called here.

    Args:
        given: Names that the user passed.
        allowed: Names that the owner takes.
        owner: The class, for the message.
        renamed: What the owner calls a setting, where it follows the names of its framework.

    Raises:
        InputTypeError: One of the names is none of them.
    """
    for name in given:
        if name not in allowed:
            msg = f"{owner} takes no argument {shown(name)}; {_counterpart(name, allowed, renamed or {})}"
            raise InputTypeError(msg)


def _counterpart(name: str, allowed: Collection[str], renamed: Mapping[str, str]) -> str:
    ours = _ELSEWHERE.get(name, name)
    ours = renamed.get(ours, ours)
    if ours in allowed:
        return f"it is called {ours!r} here"
    if name in _NEEDLESS:
        return _NEEDLESS[name]
    if name in _ELSEWHERE:
        return f"nothing does the same here; it takes {', '.join(sorted(allowed))}"
    close = difflib.get_close_matches(name, allowed, n=1)
    return f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(allowed))}"
