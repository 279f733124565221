//! Rejection sampling: of several candidates for each image the best is kept.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use var_host::engine::{Engine, ImageSpec, Sample};
use var_host::image_folder::difference;
use var_host::images::Parameters;

use super::Drawing;
use crate::args::values::MOST_IMAGES;
use crate::args::{Session, Usage};

/// How candidates are made and judged.
///
/// Candidate c of image i is drawn as image `i · candidates + c`: with `--per-class` it is the image
/// of that index in a run with so many times as many images of each class and no `--reject`.
pub(super) struct Reject {
    candidates: u32,
    /// A candidate's score by its index, where a file gives them.
    scores: Option<HashMap<u32, f64>>,
    /// What the file says of the run that made the candidates.
    of_run: Parameters,
    file: PathBuf,
}

impl Reject {
    /// Keeps the best of `candidates`, by the scores in a file or by the model's own likelihood.
    ///
    /// The file has a line for each candidate: its index and its score, with a comma or space between;
    /// a heading and lines that begin with # are passed over, but `# seed 3` says that the candidates
    /// were made with seed 3, and so any other parameter of an image.
    pub(super) fn new(candidates: u32, images: usize, scores: Option<&Path>) -> Result<Self> {
        if images as u64 * u64::from(candidates) > u64::from(MOST_IMAGES) {
            let text = format!(
                "--reject {candidates}: {} too many candidates, at most \
                 {MOST_IMAGES} can be drawn",
                if images == 1 {
                    "1 image has".to_owned()
                } else {
                    format!("{images} images have")
                }
            );
            return Err(Usage(text).into());
        }
        let file = scores.unwrap_or(Path::new("")).to_path_buf();
        let (scores, of_run) = scores.map(read_scores).transpose()?.unzip();
        Ok(Self { candidates, scores, of_run: of_run.unwrap_or_default(), file })
    }

    /// Refuses scores of candidates that were made otherwise than this run makes them, by `wanted`.
    pub(super) fn check(&self, wanted: &Parameters) -> Result<()> {
        let known = wanted.iter().filter(|(option, _)| self.of_run.contains_key(*option));
        let known = known.map(|(option, text)| (option.clone(), text.clone())).collect();
        match difference(&self.of_run, &known) {
            Some(differs) => {
                let differs = differs.replacen("was made", "were made", 1);
                bail!("--reject-scores {}: its candidates {differs}", self.file.display())
            }
            None => Ok(()),
        }
    }

    /// Candidates of each image.
    pub(super) fn candidates(&self) -> u32 {
        self.candidates
    }

    /// Draws the best candidate of each of `jobs` and hands it to `each` as the job's image, in order.
    pub(super) fn draw(
        &self,
        drawing: &Drawing<'_>,
        engine: &mut Engine<'_>,
        jobs: &[ImageSpec],
        session: &Session,
        each: &mut dyn FnMut(Sample) -> Result<()>,
    ) -> Result<()> {
        if let Some(scores) = &self.scores {
            let best = jobs.iter().map(|job| self.best_by(scores, *job));
            let best = best.collect::<Result<Vec<ImageSpec>>>()?;
            if !self.of_run.contains_key("model_digest") {
                session.warn(&format!(
                    "{}: which model made the candidates of these scores is not known: a line \
                     `# model_digest …`, as their images have it, would say",
                    self.file.display()
                ));
            }
            let mut numbers = jobs.iter();
            return drawing.draw(engine, &best, session, &mut |sample| {
                let job = *numbers.next().expect("a sample for each job");
                each(Sample { job, ..sample })
            });
        }
        let count = self.candidates as usize;
        let mut progress = session.progress(jobs.len() * count, "candidate");
        for jobs in jobs.chunks((drawing.batch / count).max(1)) {
            let candidates: Vec<ImageSpec> =
                jobs.iter().flat_map(|job| self.candidates_of(*job)).collect();
            let mut samples = Vec::with_capacity(candidates.len());
            drawing.draw_with(engine, &candidates, &mut progress, &mut |sample| {
                samples.push(sample);
                Ok(())
            })?;
            let mut samples = samples.into_iter();
            for job in jobs {
                let mut best: Option<(f64, Sample)> = None;
                for sample in samples.by_ref().take(count) {
                    let score = likelihood(engine, &sample)?;
                    if best.as_ref().is_none_or(|(other, _)| score > *other) {
                        best = Some((score, sample));
                    }
                }
                let (_, sample) = best.expect("at least one candidate");
                each(Sample { job: *job, ..sample })?;
            }
        }
        Ok(())
    }

    fn candidates_of(&self, job: ImageSpec) -> impl Iterator<Item = ImageSpec> + use<> {
        let first = job.index * self.candidates;
        (first..first + self.candidates).map(move |index| ImageSpec { index, ..job })
    }

    /// The candidate of the greatest score, the first of equal ones.
    fn best_by(&self, scores: &HashMap<u32, f64>, job: ImageSpec) -> Result<ImageSpec> {
        let mut best: Option<(f64, ImageSpec)> = None;
        for candidate in self.candidates_of(job) {
            let (index, count) = (candidate.index, self.candidates);
            let score = *scores.get(&index).ok_or_else(|| {
                anyhow!(
                    "--reject-scores: no score of candidate {index}; image {} has {count}",
                    job.index
                )
            })?;
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, candidate));
            }
        }
        Ok(best.expect("at least one candidate").1)
    }
}

/// Log-likelihood ratio of a sample's tokens between its class and none, in nats: it measures the class,
/// not how plain the image is. Of a sample without a class, their log-likelihood.
fn likelihood(engine: &mut Engine<'_>, sample: &Sample) -> Result<f64> {
    let null = engine.transformer()?.null_class();
    let mut nats = |label: u32| -> Result<f64> {
        let nll = engine.nll(&sample.tokens, label)?;
        Ok(-nll.iter().map(|nats| f64::from(*nats)).sum::<f64>())
    };
    let own = nats(sample.job.label)?;
    Ok(if sample.job.label == null { own } else { own - nats(null)? })
}

/// Scores, and the parameters in the comments.
type Scores = (HashMap<u32, f64>, Parameters);

fn read_scores(path: &Path) -> Result<Scores> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
    parse_scores(&text).with_context(|| name.to_string())
}

fn parse_scores(text: &str) -> Result<Scores> {
    let (mut scores, mut of_run) = (HashMap::new(), Parameters::new());
    for (number, line) in text.lines().enumerate() {
        let fields: Vec<&str> =
            line.split([',', ' ', '\t', ';']).filter(|field| !field.is_empty()).collect();
        if let Some(comment) = line.strip_prefix('#') {
            if let [option, value] = comment.split_whitespace().collect::<Vec<_>>()[..] {
                of_run.insert(option.to_owned(), value.to_owned());
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let parsed = match fields[..] {
            [index, score] => index.parse::<u32>().ok().zip(score.parse::<f64>().ok()),
            _ => None,
        };
        match parsed {
            Some((index, score)) if !score.is_nan() => {
                if scores.insert(index, score).is_some() {
                    bail!("line {}: a second score of candidate {index}", number + 1);
                }
            }
            // A heading.
            None if number == 0 && fields.iter().all(|field| field.parse::<f64>().is_err()) => {}
            _ => bail!("line {}: wants an index and a score, has {line:?}", number + 1),
        }
    }
    Ok((scores, of_run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_tables_are_written() {
        let text = "index,score\n0,0.5\n\n# a long note\n# seed 3\n7 -1e3\n8\t0.25\n";
        let (scores, of_run) = parse_scores(text).unwrap();
        assert_eq!(of_run, Parameters::from([("seed".to_owned(), "3".to_owned())]));
        assert_eq!(scores, HashMap::from([(0, 0.5), (7, -1e3), (8, 0.25)]));
        let fault = |text: &str| parse_scores(text).unwrap_err().to_string();
        assert_eq!(fault("1,2\n1,3"), "line 2: a second score of candidate 1");
        assert_eq!(fault("1,2\nx,3"), "line 2: wants an index and a score, has \"x,3\"");
        assert_eq!(fault("1,NaN"), "line 1: wants an index and a score, has \"1,NaN\"");
        assert_eq!(fault("1,2,3"), "line 1: wants an index and a score, has \"1,2,3\"");
    }

    #[test]
    fn scores_of_other_candidates_are_refused() {
        let named = |text: &str| {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, text)| (key.to_owned(), text.to_owned())).collect::<Parameters>()
        };
        let reject = |of_run: &str| {
            let (scores, file) = (Some(HashMap::new()), PathBuf::from("s.csv"));
            Reject { candidates: 3, scores, of_run: named(of_run), file }
        };
        let wanted = named("model_digest=abc seed=0 reject=3");
        reject("note=this").check(&wanted).unwrap();
        reject("model_digest=abc seed=0 note=this").check(&wanted).unwrap();
        let fault = |of_run: &str| reject(of_run).check(&wanted).unwrap_err().to_string();
        assert_eq!(
            fault("model_digest=xyz seed=1"),
            "--reject-scores s.csv: its candidates were made with model_digest xyz, wanted is abc"
        );
        assert!(fault("seed=1").ends_with("were made with seed 1, wanted is 0"));
    }

    #[test]
    fn best_candidate_is_the_first_of_the_highest_score() {
        let scores = Some(HashMap::from([(6, 0.1), (7, 0.9), (8, 0.9)]));
        let (of_run, file) = (Parameters::new(), PathBuf::new());
        let reject = Reject { candidates: 3, scores, of_run, file };
        let job = ImageSpec { index: 2, label: 5 };
        let best = reject.best_by(reject.scores.as_ref().unwrap(), job).unwrap();
        assert_eq!(best, ImageSpec { index: 7, label: 5 });
        let fault =
            reject.best_by(reject.scores.as_ref().unwrap(), ImageSpec { index: 1, label: 0 });
        let message = "--reject-scores: no score of candidate 3; image 1 has 3";
        assert_eq!(fault.unwrap_err().to_string(), message);
    }
}
