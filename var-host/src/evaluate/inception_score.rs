//! The Inception Score (Salimans and others, "Improved Techniques for Training GANs", 2016).

/// Images of a split: their mean is compared with each of them.
pub const SPLIT: usize = 5000;

/// The score of rows of logits, in one pass.
///
/// Of every [`SPLIT`] rows in order `exp(mean Σ_c p_c·(ln p_c − ln p̄_c))`, p̄ their mean; then the plain
/// mean over splits, of which the last may be shorter. A class that an image cannot be of adds
/// nothing (the public evaluator gives NaN there).
#[derive(Clone, Debug)]
pub struct InceptionScore {
    classes: usize,
    split: usize,
    /// The scores of the splits that are full.
    scores: Vec<f64>,
    /// Rows of the current split.
    rows: usize,
    /// `Σ p·ln p` over the current split.
    negentropy: f64,
    /// `Σ p` over the current split, for each class.
    sums: Vec<f64>,
}

impl InceptionScore {
    /// Nothing yet of so many classes, `split` rows to a split.
    ///
    /// # Panics
    /// If there are no classes, or no rows to a split.
    pub fn new(classes: usize, split: usize) -> Self {
        assert!(classes > 0 && split > 0, "inception score: {classes} classes, {split} to a split");
        let (scores, sums) = (Vec::new(), vec![0.0; classes]);
        Self { classes, split, scores, rows: 0, negentropy: 0.0, sums }
    }

    /// Adds rows of logits.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn add_logits(&mut self, logits: &[f32]) {
        assert_eq!(logits.len() % self.classes, 0, "inception score: not rows of {}", self.classes);
        for row in logits.chunks_exact(self.classes) {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps = row.iter().map(|x| libm::exp(f64::from(*x) - f64::from(top)));
            let mut row: Vec<f64> = exps.collect();
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
            self.add_probabilities(&row);
        }
    }

    /// Adds one row of probabilities.
    ///
    /// # Panics
    /// If it has another length than there are classes.
    pub fn add_probabilities(&mut self, row: &[f64]) {
        assert_eq!(row.len(), self.classes, "inception score: not a row of {}", self.classes);
        self.negentropy += row.iter().map(|p| p_ln_p(*p)).sum::<f64>();
        self.sums.iter_mut().zip(row).for_each(|(sum, p)| *sum += p);
        self.rows += 1;
        if self.rows == self.split {
            let score = self.current();
            self.scores.push(score);
            (self.rows, self.negentropy) = (0, 0.0);
            self.sums.fill(0.0);
        }
    }

    /// The score; NaN of no rows.
    pub fn value(&self) -> f64 {
        let mut scores = self.scores.clone();
        if self.rows > 0 {
            scores.push(self.current());
        }
        scores.iter().sum::<f64>() / scores.len() as f64
    }

    /// The score of the current split.
    fn current(&self) -> f64 {
        let rows = self.rows as f64;
        let of_mean: f64 = self.sums.iter().map(|sum| p_ln_p(sum / rows)).sum();
        libm::exp(self.negentropy / rows - of_mean)
    }
}

/// `p·ln p`, 0 at 0.
fn p_ln_p(p: f64) -> f64 {
    if p > 0.0 { p * libm::log(p) } else { 0.0 }
}
