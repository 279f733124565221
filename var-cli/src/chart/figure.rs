//! Contents of a chart.

/// A whole chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    /// Legend of colors and marks of all panels.
    pub(crate) legend: Vec<Entry>,
    /// Laid out in rows.
    pub(crate) panels: Vec<Panel>,
    /// Panels in a row.
    pub(crate) columns: usize,
}

/// One pair of axes and the curves in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x_label: String,
    /// Whether x, and whether y, is on a logarithmic scale; points that are not positive are left out.
    pub(crate) logarithmic: [bool; 2],
    /// Legend of this panel: short names, which share a line with the title.
    pub(crate) legend: Vec<Entry>,
    /// Drawn in this order.
    pub(crate) curves: Vec<Curve>,
    /// Labels beside points.
    pub(crate) notes: Vec<Note>,
}

/// A word above and right of a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) at: [f64; 2],
    pub(crate) text: String,
}

/// A line of a legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) label: String,
    /// `None` for black.
    pub(crate) color: Option<usize>,
    pub(crate) style: Style,
}

/// Points by falling or rising x; of a band, its outline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) points: Vec<[f64; 2]>,
    /// The number of a color; there are ten, which come round again.
    pub(crate) color: usize,
    pub(crate) style: Style,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line.
    Line,
    /// A pale line, behind others.
    Pale,
    /// A circle at each point, joined by a thin line.
    Circles,
    /// Circles alone.
    Points,
    /// The area within an outline, pale; it may reach past the axes, which the others decide on.
    Band,
}
