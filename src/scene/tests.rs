//! The room as a whole: the life of tracks, and that nothing in a message can harm it.

mod counts;
mod hostile;
mod life;
