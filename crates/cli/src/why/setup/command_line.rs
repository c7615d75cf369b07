//! The command line of a controller, read by its own parser.

use std::collections::BTreeMap;

use afresh_controller::Config;
use clap::{Arg, ArgAction, Args as _, Command, FromArgMatches as _};

use super::Program;
use crate::{controller, reloader};

/// Environment variables by name, as far as they are known.
pub(crate) type Variables = BTreeMap<String, String>;

/// Reads a command line as the controller would with these variables. `otherwise` is the program where none is named: the
/// entry point of its image says which.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn parse(
    words: &[String],
    otherwise: Option<Program>,
    variables: &Variables,
) -> Result<(Program, Config), String> {
    let words: Vec<String> = words.iter().map(|word| expanded(word, variables)).collect();
    let (program, flags) = program(&words, otherwise).ok_or("it is neither afresh controller nor afresh reloader")?;
    let config = match program {
        Program::Controller => {
            let matches = matches(
                controller::Args::augment_args(Command::new("controller")),
                flags,
                variables,
            )?;
            controller::Args::from_arg_matches(&matches)
                .map_err(|error| first_line(&error))?
                .config()
        }
        Program::Reloader => {
            let matches = matches(reloader::Args::augment_args(Command::new("reloader")), flags, variables)?;
            let read = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
            reloader::Args::from_arg_matches(&matches)
                .map_err(|error| first_line(&error))?
                .config(&read)
        }
    };
    Ok((program, config?))
}

/// The program that a command line names, and its flags.
fn program(words: &[String], otherwise: Option<Program>) -> Option<(Program, &[String])> {
    let is_afresh = |word: &str| matches!(word.rsplit('/').next(), Some("afresh" | "kubectl-afresh"));
    let words = match words.split_first() {
        Some((first, rest)) if is_afresh(first) => rest,
        _ => words,
    };
    match words.split_first() {
        Some((word, flags)) if Program::from_word(word).is_some() => Some((Program::from_word(word)?, flags)),
        // Reloader's own program, which its image or its command names.
        Some((word, flags)) if !word.starts_with('-') => Some((otherwise?, flags)),
        _ => Some((otherwise?, words)),
    }
}

/// Parses the flags; variables of this process count for nothing, those of the controller count where its flags are
/// silent.
fn matches(command: Command, flags: &[String], variables: &Variables) -> Result<clap::ArgMatches, String> {
    let said: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| by_variable(arg, flags, variables))
        .collect();
    command
        .mut_args(|arg| arg.env(None))
        .no_binary_name(true)
        .try_get_matches_from(said.iter().chain(flags))
        .map_err(|error| first_line(&error))
}

/// What a variable says of a flag that is not given.
fn by_variable(arg: &Arg, flags: &[String], variables: &Variables) -> Option<String> {
    let flag = format!("--{}", arg.get_long()?);
    let value = variables.get(arg.get_env()?.to_str()?)?;
    let given = flags.iter().any(|word| {
        word.strip_prefix(&*flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_off = matches!(
        &*value.to_ascii_lowercase(),
        "" | "0" | "n" | "no" | "f" | "false" | "off"
    );
    match (given, is_switch) {
        (true, _) => None,
        (false, true) => (!is_off).then_some(flag),
        (false, false) => Some(format!("{flag}={value}")),
    }
}

/// Puts variables in as the kubelet does: `$(NAME)`, and `$$` is a dollar sign.
fn expanded(word: &str, variables: &Variables) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match (
            after.strip_prefix('$'),
            named.map(|(name, tail)| (variables.get(name), tail)),
        ) {
            (Some(tail), _) => {
                out.push('$');
                rest = tail;
            }
            (None, Some((Some(value), tail))) => {
                out.push_str(value);
                rest = tail;
            }
            _ => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use afresh_model::policy::Reload;
    use afresh_model::reloader::marks::Strategy;
    use rstest::rstest;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(ToOwned::to_owned).collect()
    }

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[rstest]
    #[case::as_a_container_has_it("/afresh controller --default-reload auto", None, Program::Controller)]
    #[case::with_the_entry_point_of_the_image("controller --default-reload=auto", None, Program::Controller)]
    #[case::swapped("/afresh reloader --auto-reload-all=true", None, Program::Reloader)]
    #[case::reloaders_own("/manager --auto-reload-all", Some(Program::Reloader), Program::Reloader)]
    #[case::reloaders_own_entry_point("--auto-reload-all=true", Some(Program::Reloader), Program::Reloader)]
    fn a_command_line_is_read_by_the_program_that_it_names(
        #[case] line: &str,
        #[case] otherwise: Option<Program>,
        #[case] expected: Program,
    ) {
        let (program, config) = parse(&words(line), otherwise, &variables(&[("POD_NAMESPACE", "x")])).unwrap();
        assert_eq!((program, config.conventions.default), (expected, Reload::Auto));
    }

    #[test]
    fn variables_of_the_container_count_where_its_flags_are_silent() {
        let variables = variables(&[
            ("AFRESH_DEFAULT_RELOAD", "roll"),
            ("AFRESH_OWN_NAMESPACE", "tools"),
            ("AFRESH_CSI", "true"),
            ("AFRESH_DRY_RUN", "false"),
            ("WHERE", "apps"),
        ]);
        let line = words("controller --own-namespace=mine --namespace $(WHERE),$(NOBODY)$$");
        let error = parse(&line, None, &variables).unwrap_err();
        assert!(error.contains("$(NOBODY)$"), "{error}");
        let (_, config) = parse(
            &words("controller --own-namespace=mine --namespace $(WHERE)"),
            None,
            &variables,
        )
        .unwrap();
        assert_eq!(config.conventions.default, Reload::Roll);
        assert_eq!(config.digest_key.namespace.as_str(), "mine");
        assert_eq!((config.csi, config.dry_run), (true, false));
        assert_eq!(config.namespaces.first().unwrap().as_str(), "apps");
    }

    #[test]
    fn what_cannot_be_read_is_said_in_one_line() {
        for (line, says) in [
            ("controller --no-such", "unexpected argument '--no-such'"),
            ("agent --watch /x", "neither afresh controller nor afresh reloader"),
            ("--x", "neither afresh controller nor afresh reloader"),
            ("reloader --reload-strategy=other", "invalid value 'other'"),
            ("reloader --resources-to-ignore=pods", "--resources-to-ignore"),
        ] {
            let error = parse(&words(line), None, &Variables::new()).unwrap_err();
            assert!(error.contains(says) && error.lines().count() == 1, "{line}: {error}");
        }
    }

    #[test]
    fn what_reloader_is_told_is_understood() {
        let line = words("/afresh reloader --reload-strategy=annotations --auto-annotation=a.com/auto");
        let (_, config) = parse(&line, None, &variables(&[("POD_NAMESPACE", "tools")])).unwrap();
        assert_eq!(config.conventions().strategy, Some(Strategy::Annotations));
        assert_eq!(config.conventions.reloader.unwrap().auto, "a.com/auto");
        assert_eq!(config.digest_key.namespace.as_str(), "tools");
    }
}
