//! The values around an operation's outputs, for its recomputation.

use var_kernel::memory::Floats;

use crate::grad::span::{Region, Span};

/// The values around an operation's outputs, and the weights.
pub(crate) struct Surroundings<'v, S: ?Sized, const PIECES: usize> {
    /// Pieces of the values, by where they begin.
    pieces: [(usize, &'v S); PIECES],
    weights: &'v S,
}

impl<'v, S: Floats + ?Sized, const PIECES: usize> Surroundings<'v, S, PIECES> {
    /// The numbers of `span`.
    ///
    /// # Panics
    /// If it overlaps an output.
    pub(crate) fn of(&self, span: Span) -> &'v S {
        if span.region == Region::Weights {
            return span.of(self.weights);
        }
        let inside = |(start, piece): &&(usize, &'v S)| {
            *start <= span.start && span.end() <= start + piece.len()
        };
        let (start, piece) = self.pieces.iter().find(inside).expect("it is beside the outputs");
        piece.range(span.start - start..span.end() - start)
    }
}

/// One output to write, and the memory around it.
pub(crate) fn apart<'v, S: Floats + ?Sized>(
    values: &'v mut S,
    weights: &'v S,
    out: Span,
) -> (&'v mut S, Surroundings<'v, S, 2>) {
    let (before, rest) = values.split_at_mut(out.start);
    let (out_grad, after) = rest.split_at_mut(out.length);
    (out_grad, Surroundings { pieces: [(0, before), (out.end(), after)], weights })
}

/// Three outputs to write, in their order, and the memory around them.
pub(crate) fn apart_from_three<'v, S: Floats + ?Sized>(
    values: &'v mut S,
    weights: &'v S,
    outs: [Span; 3],
) -> ([&'v mut S; 3], Surroundings<'v, S, 4>) {
    let mut order = [0, 1, 2];
    order.sort_by_key(|i: &usize| outs[*i].start);
    let [first, second, third] = order.map(|i| outs[i]);
    let (before, rest) = values.split_at_mut(first.start);
    let (of_first, rest) = rest.split_at_mut(first.length);
    let (between, rest) = rest.split_at_mut(second.start - first.end());
    let (of_second, rest) = rest.split_at_mut(second.length);
    let (later, rest) = rest.split_at_mut(third.start - second.end());
    let (of_third, after) = rest.split_at_mut(third.length);
    let pieces =
        [(0, &*before), (first.end(), &*between), (second.end(), &*later), (third.end(), &*after)];
    let mut views = [Some(of_first), Some(of_second), Some(of_third)];
    let place = |i: usize| order.iter().position(|at| *at == i).expect("all are there");
    let views = [place(0), place(1), place(2)].map(|at| views[at].take().expect("taken once"));
    (views, Surroundings { pieces, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, length: usize) -> Span {
        Span { region: Region::Values, start, length }
    }

    #[test]
    fn outputs_come_in_the_order_asked_for_and_the_rest_can_be_read() {
        let mut values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let weights = [50.0, 51.0_f32];
        let outs = [span(8, 2), span(1, 2), span(4, 3)];
        let ([a, b, c], read) = apart_from_three(&mut values[..], &weights[..], outs);
        assert_eq!((&*a, &*b, &*c), (&[8.0, 9.0][..], &[1.0, 2.0][..], &[4.0, 5.0, 6.0][..]));
        assert_eq!(read.of(span(3, 1)), [3.0]);
        assert_eq!(read.of(span(7, 1)), [7.0]);
        assert_eq!(read.of(span(10, 2)), [10.0, 11.0]);
        assert_eq!(read.of(Span { region: Region::Weights, start: 1, length: 1 }), [51.0]);
    }

    #[test]
    #[should_panic(expected = "beside the outputs")]
    fn output_is_not_read() {
        let mut values = [0.0_f32; 8];
        let (_, read) = apart(&mut values[..], &[][..], span(2, 2));
        read.of(span(1, 2));
    }
}
