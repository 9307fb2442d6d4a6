//! Bad input of every kind is a typed error that says what was wrong: arguments, paths, options, and what lies in the
//! file itself.

mod corrupt;
mod damaged_states;
mod handles;
mod methods;
mod options;
mod paths;
mod table;
