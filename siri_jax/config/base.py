"""Every setting, with its unit and the source of its value.

A run's config starts from this file and changes some settings. The values are
those of the paper (SIRI, arXiv 2509.25176) if it states them. [open] marks
settings that the paper does not state; their values come from related work,
named in the comment: VeRL (SIRI is built on it), DeepScaleR (same data),
AdaptThink (same laboratory). On the command line: --config.group_size=16.
"""

from ml_collections import config_dict


def get_config():
  c = config_dict.ConfigDict()
  # The run.
  c.seed = 0  # Every draw is a function of it and of the step.
  c.total_steps = 1920  # GRPO steps (paper, 5.1): three cycles of 640.
  c.cache_dir = 'runs/cache'  # Cache of compiled programs and SFT policies.
  c.writers = ('tensorboard',)  # Writers of metrics; also 'wandb', 'trackio'.
  c.writers_kw = config_dict.create(  # Of Weights & Biases and Trackio.
    project='siri_jax',  # The project of the run.
    entity='',  # User or team of W&B; '': your own.
    group='',  # Group of runs; '': the ablation's name, if there is one.
    tags=(),  # Tags of W&B.
  )
  c.limits_kw = config_dict.create(  # Limits at which a run ends.
    stall_secs=1800.0,  # Time without progress.
    stop_secs=100.0,  # From TERM to the end; some clouds allow 120.
    max_skipped=5,  # Non-finite optimiser steps in a row.
  )
  c.hosts_kw = config_dict.create(
    count=1,  # Processes, one per host.
    coordinator='',  # HOST:PORT of process 0; '': from Slurm or Open MPI.
    index=-1,  # Index of this process, with a coordinator; -1: from Slurm.
  )

  # The problems.
  c.task = 'jsonl'  # Problem files and a tokenizer; or 'arithmetic'.
  c.task_kw = config_dict.create(
    train='',  # Path (JSONL) or Hub name of the training problems.
    # Path or Hub name of each held-out set.
    evals=dict(aime24='', aime25='', amc='', math500=''),
    tokenizer='',  # Folder or Hub name; '': the model's.
    # [open]: DeepScaleR's, scripts/data/deepscaler_dataset.py.
    instruction=(
      "{problem} Let's think step by step and output the final answer within "
      '\\boxed{}.'
    ),
    # Variables of the chat template; Qwen3 without thoughts:
    # dict(enable_thinking=False).
    template_kw=dict(),
  )
  # Problem file of `siri-jax select`, whose problems alone are trained on; '':
  # all (LIMR's selection; paper has none).
  c.train_only = ''
  c.max_prompt_tokens = (
    1024  # Tokens; longer prompts are dropped [open]: siblings.
  )
  c.grading_rule = (
    'deepscaler'  # Grading rule [open]: DeepScaleR's, text after the
  )
  # first </think>, last \boxed{}; an unfinished thought scores 0.
  c.grading_rule_kw = config_dict.create(
    # 'continuation' of a thought, so that prompts end in <think>; or, without
    # one, 'response' (an answer in a box) or 'text' (prose).
    kind='continuation',
    verify_kw=dict(),  # Options of math-verify, if not its defaults.
  )
  c.grader_kw = config_dict.create(
    workers=2,  # Grading processes.
    secs=5.0,  # Time limit of one response; then its worker is killed.
    memory_gb=4.0,  # Memory limit of one worker, GiB.
  )

  # The policy.
  c.policy = 'pretrained'  # Initial parameters, from model_path; 'fresh'
  # (random) and 'sft' use the shape of model_kw.
  c.model_path = ''  # Hugging Face folder or Hub name, OWNER/NAME@REVISION.
  c.model_kw = config_dict.create(
    model_type='qwen2',  # Of Hugging Face: qwen2, qwen3 or llama.
    layers=2,  # Blocks.
    dim=128,  # Width of the residual stream.
    heads=4,  # Query heads.
    kv_heads=2,  # Key-value heads.
    head_dim=32,  # Width of a head; vLLM serves 32 and more on the CPU.
    mlp=384,  # Width of the SwiGLU.
    rope_theta=10000.0,  # Base of the rotary embedding; R1-Distill-Qwen's.
    norm_eps=1e-6,  # Added in the norms; Qwen2's.
    tied=False,  # Whether the head is the embedding; R1-Distill: untied.
  )
  c.lora_kw = config_dict.create(  # Adapters, docs/models.md. SIRI's own runs
    # are full fine-tuning.
    rank=0,  # Inner width of A B; 0: full fine-tuning, as in VeRL.
    alpha=32.0,  # A B is multiplied by alpha / rank; VeRL's and TRL's.
    # Matrices that have one, by PEFT's names: q_proj, k_proj, v_proj, o_proj,
    # gate_proj, up_proj, down_proj.
    targets=('all-linear',),  # All of them, as in VeRL.
  )
  c.sft_kw = config_dict.ConfigDict()  # Settings of supervised fine-tuning.
  c.compute_dtype = (
    'bfloat16'  # Dtype of activations. Master parameters are always float32.
  )

  # The cap.
  c.schedule = 'cosine'  # Step -> cap (paper, 4.2); docs/schedules.md.
  c.schedule_kw = config_dict.create(
    low=8192,  # Lowest cap, tokens (paper, 5.1).
    high=16384,  # Highest cap, tokens (paper, 5.1).
    period=640,  # Steps of a cycle (paper, 5.1).
    phase=0,  # Steps by which the cycle is ahead at step 0.
  )
  # Length distribution without a cap, tokens, assumed by --dry_run: lognormal.
  # At a cap of 16,384 its mean is 8,449, as for AMC in Table 1. Its deviation
  # of 0.7 is our choice.
  c.uncapped_length_kw = config_dict.create(mean=9498.0, median=7434.0)
  c.cap_at = 'sampler'  # max_tokens = floor(L(t)) [open]: VeRL. 'reward'
  # samples to the schedule's highest cap and clips for the reward.

  # Sampling.
  c.engine = 'embedded'  # Engine, siri_jax/rollout/engines.py.
  c.engine_kw = config_dict.create(
    max_concurrent=64,  # Sequences decoded or requested at a time.
    decode_steps=128,  # Of 'embedded', in one call of the compiled program.
  )
  c.server_kw = config_dict.create(  # Of engine='vllm' and siri-jax serve.
    # 'split': some GPUs of this node sample, the others train; 'shared': all do
    # both; 'external': servers that you start. The run starts the others.
    placement='external',
    gpus=0,  # GPUs that sample under 'split'; 0: half of the node's.
    python='',  # Python that has vLLM; '': this one.
    start_secs=1200.0,  # Time in which a server that the run starts answers.
    restarts=5,  # Most restarts of each of them in an attempt.
    urls=('http://127.0.0.1:8000',),  # Addresses under 'external'.
    folder='/dev/shm/siri_jax',  # Pushed weights; every server must read it.
    patience_secs=300.0,  # Time without a token after which requests fail.
    push_secs=600.0,  # Timeout of a push.
    logprob_share=0.05,  # Of prompts, with log-probabilities; our choice.
    tensor=1,  # Devices that share a model in a server.
    data=1,  # Copies of the model in a server.
    memory=0.9,  # Share of a device's memory for a server; vLLM's default.
    sleep=0,  # 1: servers free their devices' memory while nothing is sampled,
    # as always under 'shared'.
  )
  c.prompts_per_step = (
    128  # Prompts a step [open]: the paper's batch size, read as prompts.
  )
  c.group_size = 8  # Samples a prompt [open]: DeepScaleR, Laser, Thinkless.
  c.temperature = 1.0  # Of sampling in training; paper, 5.1.
  c.top_p = 1.0  # Share of the probability sampled from; off [open]: VeRL.
  c.top_k = 0  # Tokens sampled from; 0: all [open]: VeRL.
  c.off_policy_steps = (
    0  # Steps by which sampling is ahead of training. SIRI is on-policy;
  )
  # 1 trains on samples of weights one update old; resume is not bit-identical.
  c.collect = 'once'  # Dynamic sampling off [open]: not adopted; 'dynamic'.
  c.collect_kw = config_dict.ConfigDict()
  # Samples of the initial policy, taken once, for what learns offline.
  c.presample_kw = config_dict.create(
    samples=16,  # Samples a problem [open]: O1-Pruner's, AdaptThink's.
    problems=0,  # Training problems, drawn without the seed; 0: all.
    folder='',  # Made by `siri-jax presample`; '': presample/ of the run.
  )
  # Offline learning: a training set of those samples instead of samples of
  # each step, siri_jax/algorithm/training_sets.py; '' samples each step.
  c.training_set = ''
  c.training_set_kw = config_dict.ConfigDict()
  # A cap of its own for each sample, and words in its prompt.
  c.budget = 'step_cap'  # The step's cap for all, no words; paper, 4.1.
  c.budget_kw = config_dict.ConfigDict()

  # The algorithm.
  # 1 if right under the cap, else 0.
  c.reward = 'length_capped'  # Paper, 4.1. Overlong buffer off [open].
  c.reward_kw = config_dict.ConfigDict()
  # Functions of the decoded responses, siri_jax/grading/text_rewards.py. Their
  # rewards are multiplied by their weights and added to `reward`.
  c.text_rewards = ()  # Names; off (paper has none).
  # Function -> dict(weight=..., and its settings); reward units.
  c.text_rewards_kw = config_dict.ConfigDict()
  # The monitor pass: training problems whose samples text rewards may take.
  c.monitor_kw = config_dict.create(
    every=0,  # Steps from one to the next; 0: none (paper has none).
    problems=500,  # Always the same ones; Laser: train_sample500.
  )
  # Rewards by group -> advantages.
  c.advantage = 'mean_std'  # Unbiased deviation [open]: VeRL.
  c.advantage_kw = config_dict.create(
    eps=1e-6,  # Added to the deviation, reward units [open]: VeRL.
  )
  # Loss of a token, siri_jax/algorithm/losses.py.
  c.loss = 'clip_higher'  # No KL, no dual clip, no entropy bonus [open].
  # Clipping of a token's probability ratio to [1 - low, 1 + high].
  c.loss_kw = config_dict.create(low=0.2, high=0.28)  # Paper, after DAPO.
  # Lengths -> weights of tokens in the loss.
  c.aggregation = 'sequence_mean'  # As printed; VeRL's default: token_mean.
  c.aggregation_kw = config_dict.ConfigDict()
  c.minibatches = 2  # Optimiser steps an epoch [open]: DeepScaleR, Laser.
  c.epochs = 1  # Passes over a batch [open]: 1 everywhere.

  # The optimiser: AdamW [open]: VeRL.
  c.learning_rate = 1e-6  # Learning rate of AdamW, constant; paper, 5.1.
  c.optimizer_kw = config_dict.create(
    warmup_steps=0,  # Optimiser steps of a linear rise to the rate.
    b1=0.9,  # Decay of the first moment.
    b2=0.999,  # Decay of the second moment.
    eps=1e-8,  # Added to the root of the second moment.
    weight_decay=0.01,  # Decoupled; below rounding at the rate of 1e-6.
    clip_norm=1.0,  # Global norm of the gradient.
  )

  # Alarms, in events.jsonl and on the terminal; none ends a run. The limits are
  # our choice, far from the values of healthy runs.
  c.alarms_kw = config_dict.create(
    window=10,  # Steps of a mean.
    least_steps=3,  # Steps before any alarm.
    cut=0.8,  # Share of responses cut by the cap.
    idle=0.95,  # Share of groups with equal rewards.
    ungraded=0.01,  # Share of responses that hang or crash a grader.
    gap=0.1,  # Mean |sampler's - trainer's log-probability|, nats a token.
    gap_growth=3.0,  # Growth factor from one window to the next.
    entropy=0.01,  # Least entropy, nats a token.
    ratio=100.0,  # Ratio of a token's probabilities within a step.
    spike=10.0,  # Ratio to the largest loss, gradient or length of the window.
    spike_floor=0.1,  # Least loss, KL (nats) or gradient norm of a spike.
  )

  # How an update is computed. It changes the result by rounding alone.
  c.mesh_kw = config_dict.create(data=1, fsdp=1, tensor=1)  # Devices per axis.
  c.update_kw = config_dict.create(
    micro_batch_rows=1,  # Rows of one forward and backward pass.
    row_tokens=0,  # Tokens of a packed row; 0: longest prompt + cap, rounded.
    logprob_chunk_tokens=1024,  # Of a device whose logits exist at one time.
    attention='reference',  # Implementation, siri_jax/models/attention.py.
    # What is kept for the backward pass, of decoder.REMAT; '': the least
    # recomputation that fits device_gb, but never 'nothing'.
    remat='',
    device_gb=80.0,  # Memory of a device, GB: an H100's.
    # 'zero3' gathers the parameters a layer at a time (parameters and optimiser
    # state are sharded); 'zero1' gathers them once an update.
    param_sharding='zero3',
  )

  # Cadence: steps; 0: never. Schedule extrema and the end are always included.
  c.checkpoint_kw = config_dict.create(
    every=20,  # Steps between checkpoints [open]: DeepScaleR 10 to 20.
    keep=3,  # Newest checkpoints to keep; those at extrema are kept too.
    keep_every=160,  # Multiples of it are kept too; 0: none.
  )
  c.record_kw = config_dict.create(
    rollouts_every=20,  # Steps whose samples are written with their text.
    picture_every=20,  # Steps between two updates of picture.png; 0: none.
  )
  c.eval_kw = config_dict.create(  # Held-out sets (paper, 5.1).
    every=20,  # Steps between evaluations [open]: DeepScaleR 10 to 20.
    samples=32,  # Samples a problem in training.
    table_samples=64,  # Samples a problem in `siri-jax evaluate`.
    table_caps=64,  # Caps in its accuracy by cap; our choice.
    temperature=0.6,  # Of sampling in evaluations; paper, 5.1.
    top_p=1.0,  # Off [open].
    cap=16384,  # Most new tokens, thinking and answer.
  )
  return c
