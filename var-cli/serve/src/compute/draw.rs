//! Sampling and editing.

use core::ops::ControlFlow;

use serde_json::json;
use var_host::{Image, Model, SampleOptions, Step};

use super::report::{Numbered, Reporter};
use super::stopped::Stopped;
use crate::request::EditTask;

/// Images that go through the model together.
struct Batch<'a> {
    report: Reporter<'a>,
    /// Number of the first in the job, and its index.
    first: Numbered,
    previews: bool,
    /// The reason to stop, where it is not a cancel.
    stopped: Option<Stopped>,
}

/// Draws an image of each class of `labels`.
pub(super) fn sample(
    model: &mut Model,
    report: Reporter<'_>,
    labels: &[u32],
    options: SampleOptions,
    previews: bool,
) -> Result<(), Stopped> {
    // Batch by batch: a job that is canceled keeps the images of those before.
    for (number, labels) in labels.chunks(options.batch).enumerate() {
        report.check()?;
        let image = number * options.batch;
        let index = options.first_index + image as u32;
        let mut batch = Batch { report, first: Numbered { image, index }, previews, stopped: None };
        let options = SampleOptions { first_index: index, ..options };
        let images = model.sample_with(labels, &options, |step| batch.after_scale(step))?;
        batch.end(&images)?;
    }
    Ok(())
}

/// Draws versions of a part of an image.
pub(super) fn edit(
    model: &mut Model,
    report: Reporter<'_>,
    task: &EditTask,
) -> Result<(), Stopped> {
    let EditTask { picture, count, options, previews, .. } = task;
    let plan = model.plan_edit(picture, &task.edit())?;
    for image in 0..*count {
        report.check()?;
        let index = options.first_index + image as u32;
        let first = Numbered { image, index };
        let mut batch = Batch { report, first, previews: *previews, stopped: None };
        let options = SampleOptions { first_index: index, ..*options };
        let each = |step: &mut Step<'_, '_>| batch.after_scale(step);
        let mut image = model.draw_edit(&plan, &options, each)?;
        if let Some(image) = &mut image {
            let names = ["image", "mask"].map(str::to_owned).into_iter().zip(task.names.clone());
            image.parameters.extend(names.filter_map(|(key, name)| Some((key, name?))));
        }
        batch.end(image.as_slice())?;
    }
    Ok(())
}

impl Batch<'_> {
    /// Tells of a scale, unless it is the last: its looks come with the images.
    fn after_scale(&mut self, step: &mut Step<'_, '_>) -> ControlFlow<()> {
        if self.report.interrupt.is_raised() {
            return ControlFlow::Break(());
        }
        if step.scale + 1 == step.scales {
            return ControlFlow::Continue(());
        }
        let indices: Vec<u32> = step.indices().collect();
        for (number, index) in indices.into_iter().enumerate() {
            let picture = if self.previews { step.picture(number) } else { None };
            // None of them: the run ends with an error.
            let Some(tokens) = step.tokens(number) else { break };
            let told =
                self.report.scale(self.numbered(index), step.scale, tokens, picture.as_ref());
            if let Err(stopped) = told {
                self.stopped = Some(stopped);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn numbered(&self, index: u32) -> Numbered {
        Numbered { image: self.first.image + (index - self.first.index) as usize, index }
    }

    /// Tells of the images, or of the reason why there are none.
    fn end(self, images: &[Image]) -> Result<(), Stopped> {
        if images.is_empty() {
            return Err(self.stopped.unwrap_or(Stopped::Canceled));
        }
        let (report, description) = (self.report, self.report.description);
        let last = description.ladder.scales() - 1;
        for image in images {
            let tokens = image.tokens[description.ladder.range(last)].to_vec();
            let picture = self.previews.then_some(&image.picture);
            report.scale(self.numbered(image.index), last, tokens, picture)?;
            let about = json!({
                "index": image.index,
                "label": description.class_number(image.label),
                "name": description.class_name(image.label),
                "seed": image.options.seed,
            });
            report.image(&image.picture, &image.parameters, about)?;
        }
        Ok(())
    }
}
