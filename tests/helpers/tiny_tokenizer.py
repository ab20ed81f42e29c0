"""A small tokenizer folder with the peculiarities of R1-Distill's."""

import json

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

BOS, EOS, USER, ASSISTANT = '<bos>', '<eos>', '<user>', '<assistant>'
THINK, END = '<think>', '</think>'
TEMPLATE = (
  '{{ bos_token }}{% for message in messages %}<user>{{ message["content"] }}'
  '{% endfor %}{% if add_generation_prompt %}<assistant><think>\n{% endif %}'
)


def write(folder, *, template=TEMPLATE, eos=EOS, think=(THINK, END)):
  """Writes a byte-level tokenizer: one token per byte, and special tokens.

  As R1-Distill's, it adds <bos> before a text, and is named a Llama tokenizer.
  """
  folder.mkdir(parents=True, exist_ok=True)
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  model = models.BPE({byte: n for n, byte in enumerate(alphabet)}, [])
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  tokenizer.add_special_tokens([BOS, EOS])
  tokenizer.add_tokens([USER, ASSISTANT, *think])
  tokenizer.post_processor = processors.TemplateProcessing(
    single=f'{BOS} $A', special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
  )
  tokenizer.save(str(folder / 'tokenizer.json'))
  config = {'tokenizer_class': 'LlamaTokenizerFast', 'bos_token': BOS}
  config |= {'eos_token': eos} if eos else {}
  config |= {'model_max_length': 64}
  (folder / 'tokenizer_config.json').write_text(json.dumps(config))
  if template:
    (folder / 'chat_template.jinja').write_text(template)
  return folder
