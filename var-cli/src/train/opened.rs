//! The files that `var train` is given.

use core::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use var_host::data::{self, CropPositions, CropSpec, Flip, Folder, TokenSet};
use var_host::images::CropSettings;
use var_host::model::{Hints, Weights};
use var_host::plural::count;
use var_host::run;
use var_host::train::dataset::DataSet;
use var_host::train::input_digests;
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};

use super::Options;
use super::options::{Augmentation, CLASS_NAMES};
use crate::args::{BUILT_IN_VQVAE, Session, Usage};
use crate::{built_in, data_set, identity};

/// The file of the VQVAE that the published trainer takes from the folder it is run in.
const PUBLISHED_VQVAE: &str = "vae_ch160v4096z32.pth";

/// Data and VQVAE of a run.
pub(super) struct Opened {
    /// The VQVAE, with the names of the data's classes.
    pub(super) given: Weights,
    pub(super) vqvae: VqvaeConfig,
    /// The VQVAE's name: its file, or `built-in`.
    pub(super) vae: String,
    pub(super) training: DataSet,
    pub(super) validation: Option<DataSet>,
    pub(super) classes: usize,
    /// Warnings about the inputs.
    warnings: Vec<String>,
}

impl Opened {
    /// Opens the files named, and checks that they fit together.
    pub(super) fn open(options: &Options, session: &Session) -> Result<Self> {
        let (mut given, vae) = vqvae(options, session)?;
        let Some((_, vqvae)) = given.vqvae else { bail!("the model has no VQVAE: give --vae") };
        let pictures = |folder: Folder, crop_spec| DataSet::Images {
            folder: Arc::new(folder),
            crop_spec,
            workers: 1,
        };
        let (own, made_by) = (identity::of_vqvae(&given), RefCell::new(Vec::new()));
        let tokens = |path: &Path| -> Result<TokenSet> {
            let set = TokenSet::open(path, vqvae.codes)?;
            check_ladder(&set, &vqvae.ladder).with_context(|| path.display().to_string())?;
            made_by.borrow_mut().extend(identity::check_tokens(path, set.vqvae(), own)?);
            Ok(set)
        };
        let in_tokens = options.files.tokens.as_deref().map(tokens).transpose()?;
        // Images to validate on are cut as those were that tokens were made of.
        let cut = in_tokens.as_ref().and_then(TokenSet::cut);
        let mid_reso = options.data.mid_reso;
        let resize = match cut {
            Some(cut) if !session.given.has("mid_reso") => cut.mid_reso,
            _ => mid_reso,
        };
        let crop_spec = |crops, flip| CropSpec { side: vqvae.side(), resize, crops, flip };
        given.cut = cut;
        let (mut training, mut classes) = (None, 0);
        let (mut validation, mut warnings) = (None, Vec::new());
        if let Some(set) = in_tokens {
            classes = set.classes();
            given.class_names = set.class_names().unwrap_or_default().to_vec();
            training = Some(DataSet::Tokens(Arc::new(set)));
        }
        if let Some(data) = &options.files.data {
            let (train, val) = (data.join("train"), data.join("val"));
            if training.is_none() {
                let folder = Folder::open(&train)?;
                classes = folder.classes().len();
                given.class_names = folder.classes().to_vec();
                let crops = match options.data.aug {
                    Augmentation::Crop => CropPositions::Random(1),
                    Augmentation::Center => CropPositions::Center,
                };
                let flip = if options.data.hflip { Flip::Random } else { Flip::Never };
                given.cut = Some(CropSettings::from(&crop_spec(crops, flip)));
                training = Some(pictures(folder, crop_spec(crops, flip)));
            }
            if matches!(training, Some(DataSet::Tokens(_))) && !val.is_dir() {
                let text = "--data: with --tokens it only validates";
                return Err(Usage(format!("{text}, and {} is not there", val.display())).into());
            }
            if val.is_dir() {
                let numbered = match given.class_names.is_empty() {
                    true => data_set::numbered(&data::class_names(&val)?, classes),
                    false => None,
                };
                let folder = if let Some(numbered) = numbered {
                    warnings.push(format!(
                        "the tokens to learn from do not name their classes: those of {} are called by \
                         numbers, which are taken as theirs",
                        val.display()
                    ));
                    Folder::open_with_classes(&val, &numbered)?
                } else if given.class_names.is_empty() {
                    warnings.push(format!(
                        "the tokens to learn from do not name their classes: those of {} are \
                         numbered in the order of their names",
                        val.display()
                    ));
                    Folder::open(&val)?
                } else {
                    Folder::open_with_classes(&val, &given.class_names)?
                };
                validation = Some(pictures(folder, crop_spec(CropPositions::Center, Flip::Never)));
            }
        }
        if let Some(path) = &options.files.val_tokens {
            let mut set = tokens(path)?;
            if let (Some(own), Some(to_learn)) = (set.cut(), given.cut)
                && own.mid_reso != to_learn.mid_reso
            {
                let (path, own, to_learn) = (path.display(), own.mid_reso, to_learn.mid_reso);
                warnings.push(format!(
                    "{path}: made with --mid-reso {own}, the data to learn from with {to_learn}"
                ));
            }
            match (given.class_names.is_empty(), set.class_names().is_none()) {
                (false, false) => set = set.with_classes(&given.class_names)?,
                (true, true) => {}
                (training_lacks, _) => {
                    let lacks = if training_lacks { "to learn from" } else { "to validate on" };
                    warnings.push(format!(
                        "{}: classes go by their numbers: the data {lacks} does not name them",
                        path.display()
                    ));
                }
            }
            if set.classes() > classes {
                let has = set.classes();
                let has = count(has, "class");
                bail!("{}: has {has}, the training data {classes}", path.display());
            }
            validation = Some(DataSet::Tokens(Arc::new(set)));
        }
        let training = training.expect("the options ask for --data or --tokens");
        warnings.extend(made_by.into_inner());
        Ok(Self { given, vqvae, vae, training, validation, classes, warnings })
    }

    /// Prints the training data, and anything left out of it.
    pub(super) fn tell(&self, config: &VarConfig, session: &Session) -> Result<()> {
        for set in [Some(&self.training), self.validation.as_ref()].into_iter().flatten() {
            if let DataSet::Images { folder, .. } = set {
                data_set::tell_left_out(folder, session);
            }
        }
        self.warnings.iter().for_each(|warning| session.warn(warning));
        session.say(&format!("training:   {}", data_set::either(&self.training)))?;
        if let Some(validation) = &self.validation {
            session.say(&format!("validation: {}", data_set::either(validation)))?;
        }
        let crop_spec = match &self.training {
            DataSet::Images { crop_spec, .. } => data_set::crops(crop_spec),
            DataSet::Tokens(_) => format!("{0} × {0}, as tokens", self.vqvae.side()),
        };
        session.say(&format!("images:     {crop_spec}"))?;
        let VqvaeConfig { codes, latent, ladder, .. } = self.vqvae;
        let [_, identity] = self.given.identities();
        let digest =
            identity.map_or(String::new(), |known| format!(", digest {}", known.digest.short()));
        session.say(&format!(
            "VQVAE:      {}: {} of width {latent}, ladder {ladder}{digest}",
            self.vae,
            count(codes, "code")
        ))?;
        let VarConfig { depth, width, heads, classes, .. } = config;
        session.say(&format!(
            "model:      depth {depth}, width {width}, {}, {}",
            count(*heads, "head"),
            count(*classes, "class")
        ))
    }

    /// What affects training besides options: sizes, and digests of the files.
    pub(super) fn learned(&self, config: &VarConfig) -> Map<String, Value> {
        let items = |set: &DataSet| Value::from(set.items());
        let mut learned = Map::from_iter([
            ("training-items".to_owned(), items(&self.training)),
            ("validation-items".to_owned(), self.validation.as_ref().map_or(0.into(), items)),
            ("codes".to_owned(), self.vqvae.codes.into()),
            ("width".to_owned(), config.width.into()),
            ("heads".to_owned(), config.heads.into()),
            ("classes".to_owned(), config.classes.into()),
            ("pn".to_owned(), config.ladder.to_string().into()),
        ]);
        learned.extend(input_digests(&self.given, &self.training, self.validation.as_ref()));
        learned
    }

    /// The names of the classes: the same on all ranks; when a run goes on they are compared one by
    /// one.
    pub(super) fn session(&self) -> Map<String, Value> {
        Map::from_iter([(CLASS_NAMES.to_owned(), json!(self.given.class_names))])
    }

    /// Refuses a run in `folder` that was begun with a class of another name.
    pub(super) fn check_class_names(&self, folder: &Path) -> Result<()> {
        let begun = run::Options::read(folder)?;
        let before = begun.as_ref().and_then(|run::Options(was)| was.get(CLASS_NAMES)?.as_array());
        let names = before.into_iter().flatten().zip(&self.given.class_names).enumerate();
        for (class, (was, now)) in names {
            if was != now {
                let folder = folder.display();
                bail!("{folder}: class {class}: the run was started with {was}, now {now:?}");
            }
        }
        Ok(())
    }
}

/// The VQVAE named, and its name in output.
fn vqvae(options: &Options, session: &Session) -> Result<(Weights, String)> {
    let pn = options.size.pn;
    let published = Path::new(PUBLISHED_VQVAE);
    let path = match &options.files.vae {
        Some(path) => path,
        // Where the published trainer looks for it.
        None if published.is_file() => published,
        None => {
            let default = format!("the default is {PUBLISHED_VQVAE} in this folder");
            let text = format!("give --vae FILE{BUILT_IN_VQVAE}; {default}");
            return Err(Usage(text).into());
        }
    };
    let name = path.display().to_string();
    if built_in::is_named(path) {
        let weights = built_in::vqvae_of(built_in::open()?);
        let own = weights.vqvae.as_ref().map(|(_, config)| config.ladder);
        if pn.is_some() && pn != own {
            let text = "--pn goes with --vae FILE: the built-in VQVAE has its own ladder";
            return Err(Usage(text.to_owned()).into());
        }
        return Ok((weights, name));
    }
    let (part, no_verify) = (options.files.part.clone(), options.files.verify.no_verify);
    let hints = Hints { ladder: pn, part, no_verify, ..Hints::default() };
    let weights = Weights::open_halves(None, Some(path), &hints)?;
    session.note(&weights.notes);
    Ok((weights, name))
}

fn check_ladder(set: &TokenSet, ladder: &Ladder) -> Result<()> {
    let sides: Vec<usize> = set.ladder().iter().map(|side| *side as usize).collect();
    if sides == ladder.sides() {
        return Ok(());
    }
    let has: Vec<String> = sides.iter().map(usize::to_string).collect();
    bail!("made on ladder {}, the VQVAE has {ladder}: give --pn", has.join("_"))
}
