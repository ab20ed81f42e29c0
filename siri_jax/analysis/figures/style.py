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
BLACK, BLUE, SKY, GREEN = '#000000', '#0072B2', '#56B4E9', '#009E73'
VERMILLION, PINK, ORANGE = '#D55E00', '#CC79A7', '#E69F00'
COLOURS = (BLACK, BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY)
SET_COLOURS = (VERMILLION, PINK, SKY, ORANGE)  # Of held-out sets.
POINTS = {'compressed': VERMILLION, 'expanded': BLUE}
MARKERS = {'compressed': 'v', 'expanded': '^'}  # Others are dots.
SHADE, GREY = '0.9', '0.4'
COLUMN, PAGE = 3.3, 6.9  # Inches: a column of a paper, and its two columns.
TEXT, SMALL = 8, 7  # Points.
LETTERS = 17  # Letters of SMALL points in an inch, about.
NAMED = 16  # Most settings of a figure; the number of the others is in a note.
HANDLE = 6  # Width of a legend's handle, in letters.
LINE = 0.155  # Height of a line of a legend or note, inches.
DPI = 300
FAST = {'compress_level': 1}  # A sixth larger than zlib's default.
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


class Number(ticker.ScalarFormatter):
  """Formats ticks with a comma before thousands, without an exponent."""

  def __init__(self):
    super().__init__(useOffset=False)
    self.set_powerlimits((-5, 12))

  def __call__(self, value, pos=None):
    text = super().__call__(value, pos)
    return f'{value:,.0f}' if abs(value) >= 1000 else text


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
  fig = empty(width, np.broadcast_to(heights, rows).sum() + 0.45)
  return fig, subplots(fig, rows, columns, heights, **shared)


def empty(width, height):
  """A figure without panels; width and height in inches."""
  fig = figure.Figure((width, height), layout='constrained')
  backend_agg.FigureCanvasAgg(fig)
  fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
  return fig


def subplots(parent, rows, columns, heights, **shared):
  """Adds panels to a figure or subfigure; see `sheet`."""
  ratios = np.broadcast_to(heights, rows)
  with matplotlib.rc_context(TYPE):
    axes = parent.subplots(
      rows, columns, squeeze=False, height_ratios=ratios, **shared
    )
  for ax in axes.flat:
    ax.tick_params(labelsize=SMALL)
    ax.grid(axis='y', color='0.85', linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines[['top', 'right']].set_visible(False)
    ax.xaxis.set_major_formatter(Number())
    ax.yaxis.set_major_formatter(Number())
  return axes


def across(cells):
  """Number of columns, at most four, that leaves the fewest cells empty."""
  if cells <= 4:
    return cells
  return min((4, 3), key=lambda wide: -cells % wide)


def grid(titles, rows, *, height=1.35):
  """A column of panels for each title, and the place of their legends.

  Several titles are side by side, and the cell after the last one holds the
  legends. The legends of one title are above its panels.

  Args:
    titles: titles of the columns.
    rows: number of panels of each title.
    height: height of a panel, inches.
  Returns:
    matplotlib Figure; for each title its Axes from top to bottom; the Axes
    [rows] of the legends, or None.
  """
  cells = len(titles) + (len(titles) > 1)
  wide = across(cells)
  deep = math.ceil(cells / wide)
  fig, axes = sheet(
    rows * deep,
    wide,
    width=COLUMN if wide == 1 else PAGE,
    heights=height,
  )
  blocks = axes.reshape(deep, rows, wide).transpose(0, 2, 1).reshape(-1, rows)
  for panels in blocks[: len(titles)]:
    for ax in panels[:-1]:
      ax.sharex(panels[-1])
      ax.tick_params(labelbottom=False)
  for ax in blocks[len(titles) :].flat:
    ax.set_axis_off()
  if cells == 1:
    title(fig, titles[0])
    return fig, blocks, None
  for name, panels in zip(titles, blocks, strict=False):
    wrapped = (
      textwrap.fill(part, int(PAGE / wide * 15)) for part in name.splitlines()
    )
    panels[0].set_title('\n'.join(wrapped), fontsize=TEXT)
  return fig, blocks[: len(titles)], blocks[len(titles)]


def title(fig, text):
  """Writes the title of a figure."""
  with matplotlib.rc_context(TYPE):
    fig.suptitle(text, fontsize=TEXT)


def even(blocks):
  """Gives panels of a kind equal limits, and only the leftmost a label."""
  for row in zip(*blocks, strict=True):
    low, high = zip(*(ax.get_ylim() for ax in row), strict=True)
    for ax in row:
      ax.set_ylim(min(low), max(high))
      if not ax.get_subplotspec().is_first_col():
        ax.set_ylabel('')
        ax.tick_params(labelleft=False)


def cycled(items):
  """Each item with its own colour and line style."""
  styles = itertools.product(('-', '--', ':', '-.'), COLOURS)
  for item, (line, colour) in zip(items, itertools.cycle(styles), strict=False):
    yield item, {'color': colour, 'linestyle': line}


def legends(blocks, keys):
  """A legend for each kind of panel: in `keys`, or above the panel.

  A label that several kinds have, such as shading, is in the first legend.

  Args:
    blocks: for each title its Axes from top to bottom.
    keys: Axes [rows] of `grid`, or None.
  """
  seen = set()
  for row, panels in enumerate(zip(*blocks, strict=True)):
    found = {k: v for k, v in _entries(panels).items() if k not in seen}
    seen |= {*found}
    if keys is None:
      _above(panels[0], found)
    elif found:
      _legend(keys[row], found, loc='upper left', borderaxespad=0)


def legend(fig, axes, columns=2):
  """One legend above all panels, each name once, in at most `columns` columns.

  Of more than NAMED names it has the first ones and the number of the others.
  """
  found = _entries(axes)
  if (more := len(found) - NAMED) > 0:
    found = dict(itertools.islice(found.items(), NAMED))
    found[f'... and {more} more, not named'] = lines.Line2D([], [], alpha=0)
  if found:
    ncols = min(_columns(found, fig.get_figwidth()), columns)
    _grow(fig, math.ceil(len(found) / ncols))
    _legend(fig, found, loc='outside upper center', ncols=ncols)


def _above(ax, found):
  """A legend between a panel and the panel above it."""
  if found:
    ncols = _columns(found, ax.figure.get_figwidth() - 0.5)
    _grow(ax.figure, math.ceil(len(found) / ncols))
    place = {'loc': 'lower left', 'bbox_to_anchor': (0, 1), 'ncols': ncols}
    _legend(ax, found, **place, borderaxespad=0.1)


def _entries(axes):
  """{label: handle} of panels, each label once."""
  found = {}
  for ax in axes:
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
      found.setdefault(label, handle)
  return found


def _columns(found, room):
  """Most columns of a legend that fit a width of `room` inches."""
  widths = [HANDLE + len(label) for label in found]
  for count in range(len(widths), 1, -1):
    if sum(map(max, np.array_split(widths, count))) <= room * LETTERS:
      return count
  return 1


def _grow(fig, count):
  """Makes a figure higher by lines of text, so that panels keep their size."""
  fig.set_figheight(fig.get_figheight() + LINE * count)


def _legend(parent, found, **place):
  with matplotlib.rc_context(TYPE):
    parent.legend(
      found.values(),
      found,
      frameon=False,
      fontsize=SMALL,
      columnspacing=1.2,
      handlelength=1.8,
      **place,
    )


def note(fig, *sentences):
  """Writes a note below a figure, about bands and missing data."""
  text = ' '.join(s for s in sentences if s)
  if text:
    wrapped = textwrap.wrap(text, int(fig.get_figwidth() * LETTERS))
    _grow(fig, len(wrapped))
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
  top = ax.dataLim.y1  # -inf without a point.
  ax.set_ylim(0, 1.08 * top if top > 0 else 1)


def per_cent(ax, low=0):
  """Sets the vertical axis of a share in per cent."""
  ax.set_ylim(low - 0.03 * (100 - low), 103 - 0.03 * low)
  ax.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5]))


def cap_axis(ax, caps):
  """Sets the vertical axis of caps: ticks at 0, the lowest and the highest."""
  ax.set_ylim(0, 1.1 * np.max(caps))
  ax.set_yticks(sorted({0, np.min(caps), np.max(caps)}))


def steps_axis(ax, last):
  """Sets the horizontal axis of a panel against the step."""
  ax.set_xlim(-0.02 * last, 1.02 * last)
  ax.set_xlabel('step')
  ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))


def png(fig, dpi=DPI, transparent=False):
  """A figure's PNG as bytes."""
  data = io.BytesIO()
  _lay_out(fig, dpi)
  fig.savefig(
    data, format='png', dpi=dpi, transparent=transparent, pil_kwargs=FAST
  )
  return data.getvalue()


def _lay_out(fig, dpi):
  """Places the panels of a figure, once.

  savefig would draw the whole figure a second time for it.
  """
  if engine := fig.get_layout_engine():
    fig.set_dpi(dpi)
    engine.execute(fig)
    fig.set_layout_engine(None)  # 'none' would still draw it twice.


def save(fig, out, name):
  """Writes a figure as NAME.png and NAME.pdf to a folder, atomically.

  Returns:
    list of their paths.
  """
  out, pdf = pathlib.Path(out), io.BytesIO()
  out.mkdir(parents=True, exist_ok=True)
  _lay_out(fig, DPI)
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
