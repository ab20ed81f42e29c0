"""The job as a config of siri_jax, and its grading rule.

python -m siri_jax.main --config=tools/benchmarks/peers/siri_job.py:STEPS
  --config.model_path=FOLDER --config.task_kw.train=FOLDER/problems.jsonl
  --config.task_kw.tokenizer=FOLDER/tokenizer
"""

from ml_collections import config_dict

from configs import base
from siri_jax.grading.verdict import Verdict
from tools.benchmarks.peers import job


def parity(gold, response):
  """Grading rule: the job's reward as a verdict."""
  return Verdict(bool(job.reward(response, gold)), response[-3:], 'parity')


def get_config(steps):
  c = base.get_config()
  c.total_steps = int(steps)
  c.task_kw = config_dict.create(
    train='',
    evals={},
    tokenizer='',
    instruction='{problem}',
    template_kw={},
  )
  c.max_prompt_tokens = job.MAX_PROMPT
  c.grading_rule = 'tools.benchmarks.peers.siri_job:parity'
  c.grading_rule_kw = config_dict.ConfigDict()
  c.grader_kw.workers = 1
  c.compute_dtype = 'float32'
  c.update_kw.remat = 'nothing'
  c.schedule = 'constant'
  c.schedule_kw = config_dict.create(cap=job.CAP)
  c.prompts_per_step, c.group_size, c.minibatches = job.PROMPTS, job.GROUP, 1
  c.loss_kw = config_dict.create(low=job.CLIP_LOW, high=job.CLIP_HIGH)
  c.learning_rate = job.LEARNING_RATE
  c.optimizer_kw.weight_decay = job.WEIGHT_DECAY
  c.optimizer_kw.clip_norm = job.CLIP_NORM
  # The fastest settings on two cores: slots for half of the samples, and rows
  # as long as the longest sequence.
  c.engine_kw.max_concurrent = job.PROMPTS * job.GROUP // 2
  c.update_kw.row_tokens, c.update_kw.micro_batch_rows = 160, 4
  # As for the peers: no writers, evaluations, checkpoints or sample files.
  c.writers = ()
  c.eval_kw.cap = job.CAP  # The engine is built for the longest response.
  c.eval_kw.every = c.checkpoint_kw.every = 0
  c.record_kw.rollouts_every = c.record_kw.picture_every = 0
  return c
