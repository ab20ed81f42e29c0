"""Every setting there is, with its unit and where its value comes from.

A run's file derives from this one only and says what differs. The values here
are the paper's (SIRI, arXiv 2509.25176) where it states one; else those of
its siblings, named beside the setting: VeRL, on which SIRI is built,
DeepScaleR (same data), AdaptThink (same laboratory). [open] marks what the
paper leaves open. Change a value on the command line: --config.group_size=16.
"""

from ml_collections import config_dict


def get_config():
  c = config_dict.ConfigDict()
  # The run.
  c.seed = 0  # Every draw is a function of it and of the step.
  c.total_steps = 1920  # GRPO steps: three cycles of 640 (paper, 5.1).
  c.cache_dir = 'runs/cache'  # Folder of compiled programs and warm starts.
  c.writers = ('tensorboard',)  # Views of metrics.jsonl; 'wandb' by name.
  c.stall_secs = 1800.0  # Without progress, until the watchdog ends the run.
  c.hosts_kw = config_dict.create(
    count=1,  # Processes, one a host; 1: no others.
    coordinator='',  # HOST:PORT of the first one; '': from Slurm or Open MPI.
    index=-1,  # Of this process, where no cluster tells it: 0 is the first.
  )
  c.stop_secs = 100.0  # From TERM to the end at most; some clouds give 120.

  # The problems.
  c.task = 'jsonl'  # Problem files and a tokenizer; or 'arithmetic'.
  c.task_kw = config_dict.create(
    train='',  # Path of the training problems, JSONL.
    evals=dict(aime24='', aime25='', amc='', math500=''),  # Paths; '': none.
    tokenizer='',  # Path of a tokenizer folder; the model's own will do.
    # [open]: DeepScaleR's, scripts/data/deepscaler_dataset.py.
    instruction=(
      "{problem} Let's think step by step and output the final answer within "
      '\\boxed{}.'
    ),
  )
  c.max_prompt_tokens = (
    1024  # Tokens; longer prompts are dropped [open]: siblings.
  )
  c.grading_rule = (
    'deepscaler'  # Grading rule [open]: DeepScaleR's, text after the
  )
  # first </think>, last \boxed{}; an unfinished thought scores 0.
  c.grading_rule_kw = config_dict.create(
    kind='continuation',  # Of a thought that the prompt has opened.
    verify_kw=dict(),  # math-verify's options that differ from its own.
  )
  c.grader_kw = config_dict.create(
    workers=2,  # Processes.
    secs=5.0,  # Seconds that one answer may take; then its worker is killed.
    memory_gb=4.0,  # Address space of one worker, GiB.
  )

  # The policy.
  c.policy = 'pretrained'  # From model_path; 'fresh' and 'sft' take
  # their shape from model_kw.
  c.model_path = ''  # Hugging Face folder (config.json, *.safetensors).
  c.model_kw = config_dict.create(
    layers=2,  # Blocks.
    dim=128,  # Width of the residual stream.
    heads=4,  # Query heads.
    kv_heads=2,  # Key-value heads.
    head_dim=32,  # Width of a head; vLLM serves 32 and more on the CPU.
    mlp=384,  # Width of the SwiGLU.
    rope_theta=10000.0,  # R1-Distill-Qwen's.
    norm_eps=1e-6,  # Qwen2's.
    tied=False,  # Whether the head is the embedding; R1-Distill: untied.
  )
  c.sft_kw = config_dict.ConfigDict()  # Settings of the supervised start.
  c.compute_dtype = 'bfloat16'  # Master parameters are float32 always.
  c.remat = ''  # What the backward pass works out again, qwen2.REMAT; '': the
  # least for which an update fits device_gb, products at most being kept.
  c.device_gb = 80.0  # Memory of a device, GB: an H100's.
  c.attention = 'reference'  # Implementation, siri_jax/models/attention.py.

  # The cap.
  c.schedule = 'cosine'  # Step -> most new tokens (paper, 4.2).
  c.schedule_kw = config_dict.create(low=8192, high=16384, period=640, phase=0)
  # Length distribution without a cap, tokens, assumed by --dry_run: lognormal.
  # Its mean is 8,449 at a cap of 16,384, as AMC's in Table 1. Its deviation,
  # 0.7, is ours.
  c.uncapped_length_kw = config_dict.create(mean=9498.0, median=7434.0)
  c.cap_at = 'sampler'  # max_tokens = floor(L(t)) [open]: VeRL. 'reward'
  # samples to the schedule's highest cap and clips for the reward.

  # Sampling.
  c.engine = 'embedded'  # Engine, siri_jax/rollout/engines.py.
  c.engine_kw = config_dict.create(
    max_concurrent=64,  # Sequences decoded, or asked for, at a time.
    decode_steps=128,  # Of 'embedded', in one call of the compiled program.
  )
  c.server_kw = config_dict.create(  # Of engine='vllm' and its servers.
    urls=('http://127.0.0.1:8000',),  # Their addresses.
    folder='/dev/shm/siri_jax',  # Pushed weights; every server reads it too.
    patience_secs=300.0,  # Without a token, until requests are broken off.
    push_secs=600.0,  # Without an answer, until an update is given up.
    logprob_share=0.05,  # Of prompts, with log-probabilities; ours.
    tensor=1,  # Devices that a model is cut over, and
    data=1,  # copies of the model, in a server that serve_policy starts.
    memory=0.9,  # Share of a device that such a server takes; vLLM's.
    sleep=0,  # 1: servers give up their devices' memory while none samples.
  )
  c.prompts_per_step = (
    128  # Prompts a step: the paper's batch size [open]: prompts.
  )
  c.group_size = 8  # Samples a prompt [open]: DeepScaleR, Laser, Thinkless.
  c.temperature = 1.0  # Paper, 5.1.
  c.top_p = 1.0  # Off [open]: VeRL.
  c.top_k = 0  # Off [open]: VeRL.
  c.off_policy_steps = (
    0  # Steps that sampling runs ahead of training. SIRI is on-policy;
  )
  # 1 trains on samples one update old, and a resumed run differs from it.
  c.collect = 'once'  # Dynamic sampling off [open]: not adopted; 'dynamic'.
  c.collect_kw = config_dict.ConfigDict()

  # The algorithm.
  c.reward = 'length_capped'  # Paper, 4.1. Overlong buffer off [open].
  c.reward_kw = config_dict.ConfigDict()
  c.advantage = 'mean_std'  # Unbiased deviation [open]: VeRL.
  c.advantage_kw = config_dict.create(eps=1e-6)  # Reward units [open]: VeRL.
  c.loss = 'clip_higher'  # No KL, no dual clip, no entropy bonus [open].
  c.loss_kw = config_dict.create(low=0.2, high=0.28)  # Paper, after DAPO.
  c.aggregation = 'sequence_mean'  # As printed; VeRL's default: token_mean.
  c.aggregation_kw = config_dict.ConfigDict()
  c.minibatches = 2  # Optimiser steps an epoch [open]: DeepScaleR, Laser.
  c.epochs = 1  # Passes over a batch [open]: 1 everywhere.

  # The optimiser: AdamW [open]: VeRL.
  c.learning_rate = 1e-6  # Constant; paper, 5.1.
  c.optimizer_kw = config_dict.create(
    warmup_steps=0,  # Optimiser steps of a linear rise to the rate.
    b1=0.9,  # Decay of the first moment.
    b2=0.999,  # Decay of the second moment.
    eps=1e-8,  # Added to the root of the second moment.
    weight_decay=0.01,  # Decoupled, times the learning rate.
    clip_norm=1.0,  # Global norm of the gradient.
  )
  c.max_skipped = 5  # Non-finite optimiser steps in a row that end the run.

  # Alarms, in events.jsonl and on the terminal; none of them ends a run. All
  # but the window are limits of ours, far from what healthy runs show.
  c.alarms_kw = config_dict.create(
    window=10,  # Steps of a mean.
    least_steps=3,  # Steps before anything is judged; ours.
    cut=0.8,  # Share of responses that the cap cuts.
    idle=0.95,  # Share of groups of equal rewards.
    ungraded=0.01,  # Share of answers that a grader did not survive.
    gap=0.1,  # Mean |sampler's - trainer's log-probability|, nats a token.
    gap_growth=3.0,  # Times, from one window to the next.
    entropy=0.01,  # Least, nats a token.
    ratio=100.0,  # Largest of a token's probabilities within a step.
    spike=10.0,  # Times the largest loss, gradient or length of the window.
    spike_floor=0.1,  # Least loss, KL (nats) or gradient norm of a spike; ours.
  )

  # The layout of an update. None of these changes the result.
  c.row_tokens = 0  # Tokens of a packed row; 0: longest prompt + cap, rounded.
  c.micro_batch_rows = 1  # Rows of one forward and backward pass.
  c.logprob_chunk_tokens = (
    1024  # Tokens of a device whose logits exist at one time.
  )
  c.mesh_kw = config_dict.create(data=1, fsdp=1, tensor=1)  # Devices an axis.
  # 'zero3' gathers the parameters a layer at a time (parameters and optimiser
  # state are sharded); 'zero1' gathers them once an update.
  c.param_sharding = 'zero3'

  # Cadence: steps; 0 is never. Schedule extrema and the end always count.
  c.checkpoint_kw = config_dict.create(
    every=20,  # [open]: DeepScaleR 10 to 20.
    keep=3,  # Newest ones; those at schedule extrema stay too,
    keep_every=160,  # and those at multiples of so many steps; 0: none.
  )
  c.rollouts_every = 20  # Steps whose samples are written with their text.
  c.picture_every = 20  # Steps between two drawings of the run.

  c.eval_kw = config_dict.create(  # Held-out sets (paper, 5.1).
    every=20,  # [open]: DeepScaleR 10 to 20.
    samples=32,  # A problem in training.
    table_samples=64,  # A problem in the table of `siri-jax evaluate`.
    table_caps=64,  # Points of its accuracy by cap; ours.
    temperature=0.6,
    top_p=1.0,  # [open].
    cap=16384,  # Most new tokens, thinking and answer.
  )
  return c
