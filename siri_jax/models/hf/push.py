"""Uploads a model folder to the Hugging Face Hub."""

import huggingface_hub
from huggingface_hub import constants, errors, utils

from siri_jax.models.hf import hub

LOG_IN = 'run `hf auth login`, or set HF_TOKEN to a token with write permission'


def check(name):
  """Raises if a name is invalid or this user has no token; asks nobody.

  Args:
    name: OWNER/NAME, or NAME of the token's user.
  Raises:
    hub.HubError: says what to write or set.
  """
  try:
    utils.validate_repo_id(name)
  except errors.HFValidationError as error:
    raise hub.HubError(
      f'--push_to_hub={name}: {error} Write OWNER/NAME'
    ) from None
  if constants.HF_HUB_OFFLINE:
    raise hub.HubError(
      f'--push_to_hub={name}: HF_HUB_OFFLINE forbids it; unset it'
    )
  if not huggingface_hub.get_token():
    raise hub.HubError(f'--push_to_hub={name}: no token; {LOG_IN}')


def push(folder, name, *, private):
  """Uploads a folder as one commit; makes the repository if there is none.

  Args:
    folder: path of a model folder.
    name: as in `check`.
    private: whether a new repository is private; else its owner's default.
  Returns:
    str, the address of the model.
  Raises:
    hub.HubError: it was not uploaded; says why and what to do.
  """
  api = huggingface_hub.HfApi()
  try:
    place = api.create_repo(name, private=private or None, exist_ok=True)
    api.upload_folder(
      repo_id=place.repo_id,
      folder_path=folder,
      commit_message='Upload a policy trained by siri_jax',
    )
  except Exception as error:  # Its HTTP client has errors of its own.
    raise hub.HubError(
      f'{name} was not uploaded: {_why(error)}. {folder} is complete; then run '
      f'hf upload {name} {folder}'
    ) from error
  return str(place)


def _why(error):
  """Why the Hub did not take a folder, and what to do."""
  where = f'{constants.ENDPOINT} (HF_ENDPOINT)'
  if isinstance(error, RuntimeError):  # Of a file; its cause is the answer.
    error = error.__cause__ or error
  told = ' '.join(str(error).split())[:200] or repr(error)
  response = getattr(error, 'response', None)
  if response is None:
    if isinstance(error, ValueError):  # Of the card's metadata, for example.
      return told
    return f'{where} gave no answer ({told}); check the connection'
  reasons = {
    401: f'{where} refuses the token (401); {LOG_IN}',
    403: (
      f'the token may not write there (403 of {where}); name an owner that it '
      'may write to, or set HF_TOKEN to a token with write permission'
    ),
  }
  later = f'{where} answers {response.status_code} ({told}); try again later'
  return reasons.get(response.status_code, later)
