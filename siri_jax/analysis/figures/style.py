"""Style of all figures: colours, panels, legends and files."""

import io
import itertools
import math
import pathlib
import textwrap

import matplotlib
import numpy as np
from matplotlib import figure, lines, ticker
from matplotlib.backends import backend_agg

from siri_jax.runtime import files as disk

# Okabe and Ito's colours for colour-blind readers.
BLACK, BLUE, SKY = '#000000', '#0072B2', '#56B4E9'
SET_COLOURS = ('#D55E00', '#009E73', '#CC79A7', '#E69F00')
COLOURS = (BLACK, BLUE, *SET_COLOURS, SKY)
RIGHT, WRONG, CUT = BLUE, '#D55E00', '0.45'
MARKERS = {'compressed': 'v', 'expanded': '^'}  # Others are dots.
SHADE, GREY = '0.9', '0.4'
COLUMN, PAGE = 3.3, 6.9  # Inches: a column of a paper, and its two columns.
TEXT, SMALL = 8, 7  # Points.
LETTERS = 20  # Letters of SMALL points in an inch, about.
NAMED = 16  # Entries of a legend; more would cover the panels.
HANDLE = 6  # Width of a legend's handle, in letters.
DPI = 300
# TrueType fonts in PDFs: publishers require it, and text can be searched.
TYPE = {
  'font.size': TEXT,
  'axes.labelsize': TEXT,
  'axes.titlesize': TEXT,
  'pdf.fonttype': 42,
  'text.parse_math': False,  # A dollar in a name is a dollar.
}


class NothingToDrawError(ValueError):
  """The runs do not have the data of a figure; names what is missing."""


def sheet(rows, columns=1, *, width=COLUMN, heights=1.5, **shared):
  """A figure of panels without window or global state.

  Args:
    rows: number of rows of panels.
    columns: number of columns of panels.
    width: width of the figure, inches.
    heights: height of each row, or of all rows, inches.
    **shared: sharex and sharey, as for Figure.subplots.
  Returns:
    matplotlib Figure, and its Axes as an array [rows, columns].
  """
  heights = np.broadcast_to(heights, rows)
  with matplotlib.rc_context(TYPE):
    fig = figure.Figure((width, heights.sum() + 0.7), layout='constrained')
    backend_agg.FigureCanvasAgg(fig)
    axes = fig.subplots(
      rows, columns, squeeze=False, height_ratios=heights, **shared
    )
  fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
  for ax in axes.flat:
    ax.tick_params(labelsize=SMALL)
    ax.grid(axis='y', color='0.85', linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines[['top', 'right']].set_visible(False)
  return fig, axes


def grid(titles, rows, *, height=1.35):
  """A column of panels for each title, at most three side by side.

  Args:
    titles: titles of the columns; the fourth starts a new block below.
    rows: number of panels of each title.
    height: height of a panel, inches.
  Returns:
    matplotlib Figure, and for each title its Axes from top to bottom.
  """
  wide = min(len(titles), 3)
  deep = math.ceil(len(titles) / wide)
  fig, axes = sheet(
    rows * deep,
    wide,
    width=COLUMN if wide == 1 else PAGE,
    heights=height,
  )
  blocks = axes.reshape(deep, rows, wide).transpose(0, 2, 1).reshape(-1, rows)
  for panels in blocks[len(titles) :]:
    for ax in panels:
      ax.set_axis_off()
  for title, panels in zip(titles, blocks, strict=False):
    panels[0].set_title(title, fontsize=TEXT)
    for ax in panels[:-1]:
      ax.sharex(panels[-1])
      ax.tick_params(labelbottom=False)
  return fig, blocks[: len(titles)]


def even(blocks):
  """Gives panels of a kind equal limits, and only the leftmost a label."""
  for row in zip(*blocks, strict=True):
    low, high = zip(*(ax.get_ylim() for ax in row), strict=True)
    for place, ax in enumerate(row):
      ax.set_ylim(min(low), max(high))
      if place % 3:
        ax.set_ylabel('')
        ax.tick_params(labelleft=False)


def cycled(items):
  """Each item with its own colour and line style."""
  styles = itertools.product(('-', '--', ':', '-.'), COLOURS)
  for item, (line, colour) in zip(items, itertools.cycle(styles), strict=False):
    yield item, {'color': colour, 'linestyle': line}


def legend(fig, axes, columns=2):
  """One legend above all panels, each name once.

  It has at most `columns` columns, and fewer if they are too wide. Of more than
  NAMED names it has the first ones and the number of the others.
  """
  entries = {}
  for ax in axes:
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
      entries.setdefault(label, handle)
  if (more := len(entries) - NAMED) > 0:
    entries = dict(itertools.islice(entries.items(), NAMED))
    entries[f'... and {more} more, not named'] = lines.Line2D([], [], alpha=0)
  if entries:
    widest = HANDLE + max(map(len, entries))
    room = int(fig.get_figwidth() * LETTERS / widest)
    with matplotlib.rc_context(TYPE):
      fig.legend(
        entries.values(),
        entries,
        loc='outside upper center',
        ncols=max(min(columns, room, len(entries)), 1),
        frameon=False,
        fontsize=SMALL,
        columnspacing=1.2,
        handlelength=1.8,
      )


def note(fig, *sentences):
  """Writes a note below a figure, about bands and missing data."""
  text = ' '.join(s for s in sentences if s)
  if text:
    wrapped = textwrap.wrap(text, int(fig.get_figwidth() * LETTERS))
    with matplotlib.rc_context(TYPE):
      fig.supxlabel('\n'.join(wrapped), fontsize=SMALL, color=GREY)


def line(ax, steps, values, **style):
  """A curve: with dots if it is short, thin if it is long."""
  marker = 'o' if len(steps) < 3 else ''
  style = {'linewidth': 1.2 if len(steps) < 400 else 0.7, **style}
  ax.plot(steps, values, marker=marker, markersize=3, **style)


def cap(ax, steps, caps, **style):
  """A cap as a step function."""
  ends = np.append(steps, np.add(steps[-1:], 1)), np.append(caps, caps[-1:])
  line(ax, *ends, drawstyle='steps-post', **style)


def shade(ax, spans):
  """Shades spans of steps, such as phases of compression."""
  for begin, end in spans:
    ax.axvspan(begin, end, color=SHADE, linewidth=0, zorder=0)
  if spans:
    ax.fill_between([], [], color=SHADE, label='compression')


def band(ax, steps, low, high, colour, **more):
  """A light band around a curve."""
  light = {'color': colour, 'alpha': 0.22, 'linewidth': 0, **more}
  ax.fill_between(steps, low, high, **light)


def from_zero(ax):
  """Starts the vertical axis at 0, with room above the highest point."""
  ax.margins(y=0.08)
  ax.set_ylim(0, 1.08 * ax.dataLim.y1 if np.isfinite(ax.dataLim.y1) else 1)


def steps_axis(ax, last):
  """Sets the horizontal axis of a panel against the step."""
  ax.set_xlim(-0.02 * last, 1.02 * last)
  ax.set_xlabel('step')
  ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))


def png(fig, dpi=DPI):
  """A figure's PNG as bytes."""
  data = io.BytesIO()
  fig.savefig(data, format='png', dpi=dpi)
  return data.getvalue()


def save(fig, out, name):
  """Writes a figure as NAME.png and NAME.pdf to a folder, atomically.

  Returns:
    list of their paths.
  """
  out, pdf = pathlib.Path(out), io.BytesIO()
  out.mkdir(parents=True, exist_ok=True)
  with matplotlib.rc_context(TYPE):
    # Without a date, so that the same runs give the same bytes.
    fig.savefig(pdf, format='pdf', metadata={'CreationDate': None})
  files = {'png': png(fig), 'pdf': pdf.getvalue()}
  for suffix, data in files.items():
    disk.write_atomically(out / f'{name}.{suffix}', data)
  return [out / f'{name}.{suffix}' for suffix in files]


def need(found, what):
  """Raises if there are no data for a figure.

  Raises:
    NothingToDrawError: `found` is empty; the message is `what`.
  """
  if not found:
    raise NothingToDrawError(what)
