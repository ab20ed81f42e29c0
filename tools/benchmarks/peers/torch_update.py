"""The same update in torch: transformers, SDPA, a head in chunks, AdamW.

  python -m tools.benchmarks.peers.torch_update SETTINGS --checkpointing

tools/benchmarks/update.py starts it with settings as JSON; it prints the
results as JSON. It computes one sequence at a time, so that nothing is padded
and SDPA uses its causal kernel.
"""

import argparse
import json
import resource
import sys
import time

import numpy as np
import torch
import transformers
from torch.utils.checkpoint import checkpoint

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def main():
  """Prints the results; returns 0."""
  parser = argparse.ArgumentParser()
  parser.add_argument('settings', type=json.loads)
  parser.add_argument('--checkpointing', action=argparse.BooleanOptionalAction)
  flags = parser.parse_args()
  given = flags.settings
  model = made(given['shape'], flags.checkpointing)
  optimiser = torch.optim.AdamW(
    model.parameters(),
    lr=given['learning_rate'],
    weight_decay=0.01,
    fused=DEVICE == 'cuda',
  )
  rng = np.random.default_rng(0)
  samples = [
    torch.tensor(rng.integers(0, given['shape']['vocab'], n), device=DEVICE)
    for n in given['lengths']
  ]
  secs, cpu = [], []
  for _ in range(given['updates'] + 1):
    began, worked = time.monotonic(), time.process_time()
    update(model, optimiser, samples, given)
    if DEVICE == 'cuda':
      torch.cuda.synchronize()
    secs.append(time.monotonic() - began)
    cpu.append(time.process_time() - worked)
  found = {
    'system': 'torch' + ', checkpointed' * bool(flags.checkpointing),
    'secs': min(secs[1:]),
    'cpu_secs': min(cpu[1:]),
    'compile_secs': 0.0,
    'peak_gb': peak(),
  }
  print(json.dumps(found))
  return 0


def made(shape, checkpointing):
  """A random model of this shape, float32, in training mode."""
  config = transformers.Qwen2Config(
    vocab_size=shape['vocab'],
    hidden_size=shape['dim'],
    intermediate_size=shape['mlp'],
    num_hidden_layers=shape['layers'],
    num_attention_heads=shape['heads'],
    num_key_value_heads=shape['kv_heads'],
    head_dim=shape['head_dim'],
    tie_word_embeddings=shape['tied'],
    rms_norm_eps=shape['norm_eps'],
    rope_parameters={'rope_type': 'default', 'rope_theta': shape['rope_theta']},
    attn_implementation='sdpa',
    use_cache=False,
  )
  with torch.device(DEVICE):
    model = transformers.Qwen2ForCausalLM(config)
  model.train()
  if checkpointing:
    model.gradient_checkpointing_enable({'use_reentrant': False})
  return model


def update(model, optimiser, samples, given):
  """One optimiser step over all samples; each sample is a micro-batch."""
  for number, ids in enumerate(samples):
    advantage = 2 * number / max(len(samples) - 1, 1) - 1
    with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == 'cuda'):
      hidden = model.model(input_ids=ids[None]).last_hidden_state[0]
      logp = token_logprobs(
        hidden[given['prompt'] - 1 : -1],
        model.lm_head.weight,
        ids[given['prompt'] :],
        given['chunk'],
      )
    ratio = torch.exp(logp - logp.detach())
    clipped = torch.clamp(ratio, 0.8, 1.28)
    loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    (loss / len(samples)).backward()
  torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
  optimiser.step()
  optimiser.zero_grad()


def token_logprobs(hidden, head, targets, chunk):
  """Log-probabilities, a chunk of logits at a time, with recomputation."""

  def one(hidden, targets):
    logits = (hidden @ head.T).float()
    logp = torch.log_softmax(logits, -1)
    with torch.no_grad():  # Entropy, a metric that ours computes as well.
      torch.sum(logp.exp() * logp, -1)
    return logp.gather(-1, targets[:, None])[:, 0]

  pieces = zip(hidden.split(chunk), targets.split(chunk), strict=True)
  return torch.cat(
    [checkpoint(one, *piece, use_reentrant=False) for piece in pieces]
  )


def peak():
  """Peak memory, GB: of the GPU, or of the whole process on a CPU."""
  if DEVICE == 'cuda':
    return torch.cuda.max_memory_allocated() / 1e9
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == '__main__':
  sys.exit(main())
