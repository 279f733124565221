//! `plotters` on pixels, with corrections of its own backend: thick curves, where it draws spikes at
//! sharp bends, and text, which it sets too high.

use plotters::prelude::BitMapBackend;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle};
use plotters_backend::{DrawingBackend, DrawingErrorKind};

/// How far text is lowered, as a share of its size. The letters of DejaVu Sans, as `plotters` places
/// them, reach from 0.13 of the size above the box that they are measured by to its middle.
const LOWERED: f64 = 0.2;

/// An RGB image to draw on.
pub(super) struct Raster<'a>(pub(super) BitMapBackend<'a>);

type Fault = <BitMapBackend<'static> as DrawingBackend>::ErrorType;
type Drawn = Result<(), DrawingErrorKind<Fault>>;

impl DrawingBackend for Raster<'_> {
    type ErrorType = Fault;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> Drawn {
        self.0.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.0.draw_pixel(point, color)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.0.draw_rect(upper_left, bottom_right, style, fill)
    }

    /// Straight pieces, and discs where they meet.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<BackendCoord> = path.into_iter().collect();
        for pair in points.windows(2) {
            self.0.draw_line(pair[0], pair[1], style)?;
        }
        if style.stroke_width() > 2 && points.len() > 2 {
            for point in &points[1..points.len() - 1] {
                self.0.draw_circle(*point, style.stroke_width() / 2, &style.color(), true)?;
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        self.0.draw_text(text, style, (x, y + (LOWERED * style.size()) as i32))
    }
}
