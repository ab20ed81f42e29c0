"""Random models of transformers, one class for each model type."""

import torch
import transformers

CLASSES = {
  'qwen2': (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
  'qwen3': (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
  'llama': (transformers.LlamaConfig, transformers.LlamaForCausalLM),
}
PLAIN = dict(rope_type='default', rope_theta=10000.0)
# With heads of width 8, the four frequencies turn 2.5, 0.25, 0.025 and 0.0025
# times in 16 positions. The first stays, the second is between, two are low.
SCALED = PLAIN | dict(
  rope_type='llama3',
  factor=4.0,
  low_freq_factor=0.1,
  high_freq_factor=1.0,
  original_max_position_embeddings=16,
)
ROPES = {'qwen2': PLAIN, 'qwen3': PLAIN, 'llama': SCALED}


def make(kind, *, spread=0.1, **changes):
  """A model with biases and norms far from 0 and 1; float32, two layers.

  Args:
    kind: a key of CLASSES.
    spread: standard deviation of the matrices.
    **changes: settings of its config.
  """
  given = dict(
    vocab_size=53,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    tie_word_embeddings=False,
    rms_norm_eps=1e-6,
    eos_token_id=None,  # No token ends a response; Llama's default is 2.
    rope_parameters=dict(ROPES[kind]),
  )
  config, model = CLASSES[kind]
  torch.manual_seed(0)
  model = model(config(**{**given, **changes})).eval()
  for parameter in model.parameters():
    noise = torch.randn_like(parameter)
    parameter.data = 1 + 0.1 * noise if noise.ndim == 1 else spread * noise
  return model


def greedy(model, prompt, new):
  """The likeliest tokens after a prompt; an end token does not end them."""
  read, past, found = [int(i) for i in prompt], None, []
  with torch.no_grad():
    for _ in range(new):
      out = model(torch.tensor([read]), past_key_values=past, use_cache=True)
      read, past = [int(out.logits[0, -1].argmax())], out.past_key_values
      found += read
  return found
