"""O1-Pruner: samples weighed once by how short and right they are.

  python -m siri_jax.main --config=configs/recipes/o1_pruner.py

Offline: the start samples every problem once. Two samples of each problem are
learned from, with the clipped ratio of a whole response against the start;
--config.loss=supervised learns their weighted log-likelihood instead. The
learning rate stays constant after its warm-up, where O1-Pruner's falls as a
cosine, and the gradient is clipped at 1, not at 10.

Paper: arxiv.org/abs/2501.12570
Needs: nothing; presamples in its own folder
Numbers: open: the batch (64 samples here) and the cap of the samples (4,096)
Checked: its code's dataset, by hand; its loss is GSPO's against the start
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c = sizes.offline(
    size,
    cap=4096,  # Open; its examples cut samples at 3,072 and 4,096.
    samples=16,  # construct_dataset.py, Marco-7B.yaml.
    problems=5000,  # Marco-7B.yaml: 10,000 samples, 2 of a problem.
    total_steps=156,  # Marco-7B.yaml: 1 epoch.
    learning_rate=2e-7,  # Marco-7B.yaml; 2e-6 for QwQ-32B.
    optimizer_kw=dict(warmup_steps=16),  # Marco-7B.yaml: a tenth.
  )
  c.training_set = 'o1_pruner'
  c.training_set_kw = dict(
    used=2,  # construct_dataset.py.
    alpha=2.0,  # Marco-7B.yaml; 5 for QwQ-32B.
    low=-2.0,  # construct_dataset.py.
    high=4.0,
  )
  c.loss = 'sequence_ratio'
  c.loss_kw = dict(low=0.2, high=0.2)  # train/wsft/trainer.py.
  return c
