"""Settings that change nothing of what is learned.

A run may be resumed with other values of them, and runs that differ in them
alone are seeds of one setting.
"""

SETTINGS = (
  'cache_dir',
  'writers',
  'grader_workers',
  'grader_memory_gb',
  'eval_every',
  'checkpoint_every',
  'keep_checkpoints',
  'keep_every',
  'rollouts_every',
  'picture_every',
  'table_samples',
  'table_caps',
  'hosts_kw',
  'stop_secs',
  'stall_secs',
  'server_kw',
  'alarms_kw',
  'natural_kw',
  # But for rounding:
  'mesh_kw',
  'micro_rows',
  'row_tokens',
  'head_chunk',
  'remat',
  'device_gb',
  'gather',
)
