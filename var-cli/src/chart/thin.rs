//! Fewer points than pixels can show.

/// Points of which at most four lie in each of `columns` strips of equal width: its first, lowest,
/// highest and last, so that no peak is lost. Points by ascending x.
pub(super) fn thin(points: &[[f64; 2]], columns: usize) -> Vec<[f64; 2]> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= 4 * columns {
        return points.to_vec();
    }
    let width = (last[0] - first[0]) / columns as f64;
    let column = |point: &[f64; 2]| ((point[0] - first[0]) / width) as usize;
    let mut thinned = Vec::new();
    for strip in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |a: &usize, b: &usize| strip[*a][1].total_cmp(&strip[*b][1]);
        let lowest = (0..strip.len()).min_by(by_height).expect("a chunk has points");
        let highest = (0..strip.len()).max_by(by_height).expect("a chunk has points");
        let mut kept = vec![0, lowest, highest, strip.len() - 1];
        kept.sort_unstable();
        kept.dedup();
        thinned.extend(kept.into_iter().map(|n| strip[n]));
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_ends_stay() {
        let mut points: Vec<[f64; 2]> = (0..10_000).map(|n| [f64::from(n), 1.0]).collect();
        points[3333][1] = 9.0;
        points[7777][1] = -9.0;
        let thinned = thin(&points, 100);
        assert!(thinned.len() <= 404 && thinned.is_sorted_by(|a, b| a[0] < b[0]));
        for kept in [0, 3333, 7777, 9999] {
            assert!(thinned.contains(&points[kept]), "{kept}");
        }
        assert_eq!(thin(&points[..400], 100), points[..400]);
        assert_eq!(thin(&[], 100), Vec::<[f64; 2]>::new());
    }

    #[test]
    fn points_above_each_other_are_no_trouble() {
        let points: Vec<[f64; 2]> = (0..100).map(|n| [5.0, f64::from(n)]).collect();
        let thinned = thin(&points, 10);
        assert!(thinned.contains(&[5.0, 0.0]) && thinned.contains(&[5.0, 99.0]));
    }
}
