"""Log-probabilities by transformers' Qwen2, in float32 and in bfloat16.

  python -m tools.benchmarks.peers.torch_logprobs FOLDER

tools/gpu_check/logprobs.py writes job.json and model.safetensors to the folder.
This writes float32.npy and bfloat16.npy: the log-probabilities of the response
tokens, one sequence after another.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file

from tools.benchmarks.peers import torch_update


def main(folder):
  """Writes both files; returns 0."""
  folder = pathlib.Path(folder)
  job = json.loads((folder / 'job.json').read_text())
  torch.backends.cuda.matmul.allow_tf32 = False
  model = torch_update.made(job['shape'], checkpointing=False).eval()
  tensors = load_file(folder / 'model.safetensors', device=torch_update.DEVICE)
  model.load_state_dict(tensors)
  for dtype in ('float32', 'bfloat16'):
    model = model.to(getattr(torch, dtype))
    found = [logprobs(model, ids, job['prompt']) for ids in job['ids']]
    np.save(folder / f'{dtype}.npy', np.concatenate(found))
  return 0


@torch.no_grad()
def logprobs(model, ids, prompt):
  """float32 [response tokens], nats."""
  ids = torch.tensor(ids, device=torch_update.DEVICE)
  logits = model(ids[None]).logits[0, prompt - 1 : -1].float()
  logp = logits.log_softmax(-1).gather(1, ids[prompt:, None])
  return logp[:, 0].cpu().numpy()


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
