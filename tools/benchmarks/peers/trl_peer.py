"""The job on TRL: GRPOTrainer on the CPU, generation by transformers.

python tools/benchmarks/peers/trl_peer.py SIZE STEPS FOLDER
"""

import sys
import tempfile
import time

import datasets
import job
import torch
import transformers
import trl


class Report(transformers.TrainerCallback):
  """Grades responses, counts their tokens and reports each step."""

  def __init__(self):
    self.tokens = 0
    self.last = time.perf_counter()

  def reward(self, completions, completion_ids, answer, **_):
    self.tokens += sum(len(ids) for ids in completion_ids)
    return [job.reward(*pair) for pair in zip(completions, answer, strict=True)]

  def on_step_end(self, args, state, control, **_):
    now = time.perf_counter()
    job.report(state.global_step - 1, now - self.last, self.tokens)
    self.tokens, self.last = 0, now


def config(steps, output_dir):
  """The job as TRL's config."""
  return trl.GRPOConfig(
    output_dir=output_dir,
    use_cpu=True,
    bf16=False,  # float32, as for the other systems.
    gradient_checkpointing=False,  # It fits, and is a third faster without.
    # All samples are decoded together. One optimiser step has four backward
    # passes, which takes 5 to 10 % less CPU time than one pass.
    per_device_train_batch_size=job.PROMPTS * job.GROUP // 4,
    gradient_accumulation_steps=4,
    num_generations=job.GROUP,
    max_completion_length=job.CAP,
    temperature=1.0,
    beta=0.0,  # No reference model.
    epsilon=job.CLIP_LOW,
    epsilon_high=job.CLIP_HIGH,
    loss_type='grpo',  # Mean over tokens, then over responses.
    scale_rewards='group',
    learning_rate=job.LEARNING_RATE,
    lr_scheduler_type='constant',
    weight_decay=job.WEIGHT_DECAY,
    max_grad_norm=job.CLIP_NORM,
    max_steps=steps,
    shuffle_dataset=False,
    save_strategy='no',
    logging_strategy='no',
    report_to='none',
    disable_tqdm=True,
  )


def main(size, steps, folder):
  """Trains, reporting every step."""
  del size  # The folder has the policy.
  problems, answers = zip(*job.problems(int(steps)), strict=True)
  report = Report()
  with tempfile.TemporaryDirectory() as output_dir:
    trl.GRPOTrainer(
      model=transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32
      ),
      processing_class=transformers.AutoTokenizer.from_pretrained(
        f'{folder}/tokenizer'
      ),
      reward_funcs=report.reward,
      args=config(int(steps), output_dir),
      train_dataset=datasets.Dataset.from_dict(
        dict(prompt=[job.prompt(p) for p in problems], answer=answers)
      ),
      callbacks=[report],
    ).train()


if __name__ == '__main__':
  main(*sys.argv[1:])
