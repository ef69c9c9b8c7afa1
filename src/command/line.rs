//! The line between those who ask and whoever carries commands out.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::refusal::Refusal;
use super::request::Request;

/// Who asks. Cloning shares the line.
#[derive(Debug, Clone)]
pub struct Commander(mpsc::Sender<Order>);

/// Where commands come out, in the order in which they were asked.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

/// A command that waits for its answer. Dropped unanswered it is refused.
#[derive(Debug)]
pub struct Order {
    /// What is asked.
    pub request: Request,
    answer: oneshot::Sender<Result<Value, Refusal>>,
}

/// A line in which at most `room` commands wait.
#[must_use]
pub fn line(room: usize) -> (Commander, Orders) {
    let (sender, receiver) = mpsc::channel(room.max(1));
    (Commander(sender), Orders(receiver))
}

impl Commander {
    /// Asks, and waits for the answer. Where the line is full it is refused at once: a flood must not pile up.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn ask(&self, request: Request) -> Result<Value, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Order { request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::not_now("too many commands wait already: try again"),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }
}

impl Orders {
    /// The next command; none when nobody can ask any more.
    pub async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

impl Order {
    /// Answers it. Who asked may have gone, which is no harm.
    pub fn answer(self, answer: Result<Value, Refusal>) {
        let _ = self.answer.send(answer);
    }
}

fn stopping() -> Refusal {
    Refusal::not_now("the daemon is stopping")
}
