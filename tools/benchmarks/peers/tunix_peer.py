"""The job on Tunix: GRPOLearner on the CPU with its vanilla sampler.

python tools/benchmarks/peers/tunix_peer.py SIZE STEPS FOLDER
"""

import dataclasses
import sys
import time

import jax
import job
import numpy as np
import optax
import transformers
from tunix.models.qwen2 import model as qwen2
from tunix.models.qwen2 import params as qwen2_params
from tunix.rl import rl_cluster
from tunix.rl.grpo import grpo_learner
from tunix.rl.rollout import base_rollout


@dataclasses.dataclass(kw_only=True)
class ClipHigher(grpo_learner.GRPOConfig):
  """GRPO's settings with the upper clip bound that Tunix's loss reads."""

  epsilon_high: float


class Report:
  """Yields prompts, grades responses and reports each step."""

  def __init__(self, sampling):
    self.sampling = sampling
    self.tokens = 0

  def batches(self, steps):
    """Yields each step's prompts and reports the step before."""
    problems = job.problems(steps)
    last = time.perf_counter()
    for step in range(steps):
      own = problems[step * job.PROMPTS : (step + 1) * job.PROMPTS]
      # By default Tunix samples every step with the same key.
      self.sampling.seed = step
      yield dict(
        prompts=np.array([job.prompt(problem) for problem, _ in own]),
        answer=np.array([answer for _, answer in own]),
      )
      # Tunix requests the next batch after the update.
      now = time.perf_counter()
      job.report(step, now - last, self.tokens)
      self.tokens, last = 0, now

  def reward(self, prompts, completions, answer, **_):
    del prompts
    # Tunix passes responses without the end token.
    words = [len(response.split()) for response in completions]
    self.tokens += sum(min(count + 1, job.CAP) for count in words)
    return [job.reward(*pair) for pair in zip(completions, answer, strict=True)]


def policy(size, folder, mesh):
  shape = job.SIZES[size]
  config = qwen2.ModelConfig(
    num_layers=shape['layers'],
    vocab_size=len(job.WORDS),
    embed_dim=shape['dim'],
    hidden_dim=shape['mlp'],
    num_heads=shape['heads'],
    head_dim=shape['head_dim'],
    num_kv_heads=shape['kv_heads'],
    rope_theta=job.ROPE_THETA,
    norm_eps=job.NORM_EPS,
  )
  return qwen2_params.create_model_from_safe_tensors(folder, config, mesh)


def cluster(size, steps, folder, sampling):
  """Tunix's cluster: all roles on one device with shared weights."""
  axes = (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Auto)
  mesh = jax.make_mesh((1, 1), ('fsdp', 'tp'), axis_types=axes)
  training = rl_cluster.RLTrainingConfig(
    actor_optimizer=optax.chain(
      optax.clip_by_global_norm(job.CLIP_NORM),
      optax.adamw(job.LEARNING_RATE, weight_decay=job.WEIGHT_DECAY),
    ),
    eval_every_n_steps=steps + 1,
    max_steps=steps + 1,
    mini_batch_size=job.PROMPTS,
    # All samples are decoded together. One optimiser step has a backward pass
    # for each prompt, which takes 7 to 15 % less CPU time than one pass.
    # Packing would save more, but without its TPU kernel Tunix's Qwen2 would
    # attend to later tokens (its mask is None).
    train_micro_batch_size=1,
    rollout_micro_batch_size=job.PROMPTS,
  )
  return rl_cluster.RLCluster(
    actor=policy(size, folder, mesh),
    tokenizer=transformers.AutoTokenizer.from_pretrained(f'{folder}/tokenizer'),
    cluster_config=rl_cluster.ClusterConfig(
      role_to_mesh=dict.fromkeys(rl_cluster.Role, mesh),
      training_config=training,
      rollout_config=sampling,
    ),
  )


def main(size, steps, folder):
  """Trains, reporting every step."""
  steps = int(steps)
  sampling = base_rollout.RolloutConfig(
    max_tokens_to_generate=job.CAP,
    max_prompt_length=job.MAX_PROMPT,
    kv_cache_size=job.MAX_PROMPT + job.CAP,
    temperature=1.0,
    top_p=1.0,
  )
  report = Report(sampling)
  grpo_learner.GRPOLearner(
    rl_cluster=cluster(size, steps, folder, sampling),
    reward_fns=report.reward,
    algo_config=ClipHigher(
      num_generations=job.GROUP,
      beta=0.0,  # No reference model.
      epsilon=job.CLIP_LOW,
      epsilon_high=job.CLIP_HIGH,
    ),
  ).train(report.batches(steps))


if __name__ == '__main__':
  main(*sys.argv[1:])
