//! Precision and recall (Kynkäänniemi and others, "Improved Precision and Recall Metric for Assessing
//! Generative Models", 2019).
//!
//! Distances are squared Euclidean ones, `‖u‖² − 2u·v + ‖v‖²` in single precision, at least 0. The
//! public evaluator computes them in half precision, which moves its numbers by up to 0.003.

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::Linear;
use var_kernel::ops::linear::{Dims, Epilogue};

use super::{EvaluateError, FeatureRows};

/// A point's manifold reaches to its so manieth neighbor.
pub const NEIGHBORS: usize = 3;

/// Rows of a block of distances: two such blocks of features and one of distances are
/// in memory.
const BLOCK: usize = 1024;

/// A set's manifold: a ball around each of its points.
#[derive(Debug)]
pub struct Manifold {
    /// Squared distance to the third neighbor.
    pub radii: Vec<f32>,
    /// Squared length of each point.
    norms: Vec<f32>,
}

/// How much of each set lies within the other's manifold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// Share of the first set's points within the second's manifold: recall, if the first is real.
    pub of_first: f64,
    /// Share of the second set's points within the first's: precision.
    pub of_second: f64,
}

impl Manifold {
    /// The manifold of `rows`: each point's distance to its third neighbor, itself not counted.
    ///
    /// # Panics
    /// If there are no more points than neighbors.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn of(cpu: &Cpu<'_>, rows: &FeatureRows) -> Result<Self, EvaluateError> {
        let count = rows.len();
        assert!(count > NEIGHBORS, "manifold: {count} points have no {NEIGHBORS} neighbors");
        let mut blocks = Blocks::new(rows.width());
        let mut norms = Vec::with_capacity(count);
        for first in (0..count).step_by(NORMS) {
            blocks.products(cpu, (rows, first, NORMS), (rows, first, NORMS))?;
            let height = NORMS.min(count - first);
            norms.extend((0..height).map(|i| blocks.distances[i * height + i]));
        }
        let mut radii = Vec::with_capacity(count);
        for first in (0..count).step_by(BLOCK) {
            let height = BLOCK.min(count - first);
            // The nearest so far of each point, itself among them, in order.
            let mut nearest = vec![[f32::INFINITY; NEIGHBORS + 1]; height];
            for other in (0..count).step_by(BLOCK) {
                blocks.distances(cpu, (rows, first, &norms), (rows, other, &norms))?;
                let width = BLOCK.min(count - other);
                let distances = &blocks.distances;
                cpu.for_each_run(&mut nearest, 16, |number, nearest, _| {
                    for (i, nearest) in nearest.iter_mut().enumerate() {
                        let row = &distances[(16 * number + i) * width..][..width];
                        row.iter().for_each(|distance| insert(nearest, *distance));
                    }
                });
            }
            radii.extend(nearest.iter().map(|nearest| nearest[NEIGHBORS]));
        }
        Ok(Self { radii, norms })
    }
}

/// Points of a block of lengths.
const NORMS: usize = 32;

/// How much of two sets of points lies within each other's manifold; a point on the edge is within.
///
/// # Panics
/// If the widths differ or a manifold is of another set.
///
/// # Errors
/// If rows cannot be read.
pub fn coverage(
    cpu: &Cpu<'_>,
    (first, first_manifold): (&FeatureRows, &Manifold),
    (second, second_manifold): (&FeatureRows, &Manifold),
) -> Result<Coverage, EvaluateError> {
    assert_eq!(first.width(), second.width(), "coverage: widths differ");
    let lengths = [first_manifold, second_manifold].map(|manifold| manifold.radii.len());
    assert_eq!(lengths, [first.len(), second.len()], "coverage: a manifold of another set");
    let mut blocks = Blocks::new(first.width());
    let mut in_second = vec![false; first.len()];
    let mut in_first = vec![false; second.len()];
    for (a, in_second) in in_second.chunks_mut(BLOCK).enumerate() {
        for (b, in_first) in in_first.chunks_mut(BLOCK).enumerate() {
            let (a, b) = (a * BLOCK, b * BLOCK);
            let (height, width) = (in_second.len(), in_first.len());
            let (rows, columns) =
                ((first, a, &first_manifold.norms[..]), (second, b, &second_manifold.norms[..]));
            blocks.distances(cpu, rows, columns)?;
            let distances = &blocks.distances;
            let radii = &second_manifold.radii[b..][..width];
            cpu.for_each_run(in_second, 16, |number, within, _| {
                for (i, within) in within.iter_mut().enumerate() {
                    let row = &distances[(16 * number + i) * width..][..width];
                    *within |= row.iter().zip(radii).any(|(distance, radius)| distance <= radius);
                }
            });
            let radii = &first_manifold.radii[a..][..height];
            cpu.for_each_run(in_first, 64, |number, within, _| {
                for (row, radius) in distances.chunks_exact(width).zip(radii) {
                    let row = &row[64 * number..][..within.len()];
                    within.iter_mut().zip(row).for_each(|(within, d)| *within |= d <= radius);
                }
            });
        }
    }
    let share = |within: &[bool]| {
        within.iter().filter(|within| **within).count() as f64 / within.len() as f64
    };
    Ok(Coverage { of_first: share(&in_second), of_second: share(&in_first) })
}

/// Puts a distance among the least so far.
fn insert(nearest: &mut [f32; NEIGHBORS + 1], distance: f32) {
    if distance >= nearest[NEIGHBORS] {
        return;
    }
    let place = nearest.partition_point(|other| *other <= distance);
    nearest.copy_within(place..NEIGHBORS, place + 1);
    nearest[place] = distance;
}

/// Two blocks of rows in memory, and their distances.
struct Blocks {
    width: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    distances: Vec<f32>,
}

impl Blocks {
    fn new(width: usize) -> Self {
        Self { width, left: Vec::new(), right: Vec::new(), distances: Vec::new() }
    }

    /// The products of rows with rows, `left × right` of them.
    fn products(
        &mut self,
        cpu: &Cpu<'_>,
        (left, left_first, left_most): (&FeatureRows, usize, usize),
        (right, right_first, right_most): (&FeatureRows, usize, usize),
    ) -> Result<(), EvaluateError> {
        let width = self.width;
        let (rows, outer) =
            (left_most.min(left.len() - left_first), right_most.min(right.len() - right_first));
        self.left.resize(rows * width, 0.0);
        self.right.resize(outer * width, 0.0);
        self.distances.resize(rows * outer, 0.0);
        left.read(left_first, &mut self.left)?;
        right.read(right_first, &mut self.right)?;
        let d = Dims { rows, inner: width, outer };
        let (weight, none) = (Matrix::F32(&self.right), Epilogue::None);
        let Ok(()) = cpu.linear(&mut self.distances, &self.left, weight, None, none, d);
        Ok(())
    }

    /// The squared distances of one block of rows from another.
    fn distances(
        &mut self,
        cpu: &Cpu<'_>,
        (left, left_first, left_norms): (&FeatureRows, usize, &[f32]),
        (right, right_first, right_norms): (&FeatureRows, usize, &[f32]),
    ) -> Result<(), EvaluateError> {
        self.products(cpu, (left, left_first, BLOCK), (right, right_first, BLOCK))?;
        let outer = BLOCK.min(right.len() - right_first);
        let norms = &right_norms[right_first..][..outer];
        cpu.for_each_run(&mut self.distances, outer, |number, row, _| {
            let own = left_norms[left_first + number];
            for (value, norm) in row.iter_mut().zip(norms) {
                // The same for u, v as for v, u; and 0 for equal points.
                *value = ((own + norm) - 2.0 * *value).max(0.0);
            }
        });
        Ok(())
    }
}
