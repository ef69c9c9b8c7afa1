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
    /// Asks; the command is in the line when this returns, and the answer comes to who waits for it. Where the line is
    /// full it is refused at once: a flood must not pile up.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub fn ask(&self, request: Request) -> impl Future<Output = Result<Value, Refusal>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.try_send(Order { request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::not_now("too many commands wait already: try again"),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        });
        async move {
            sent?;
            answered.await.unwrap_or_else(|_| Err(stopping()))
        }
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

#[cfg(test)]
mod tests {
    use super::super::{Command, RefusalKind};
    use super::*;

    fn request(name: &str) -> Request {
        Request { camera: Some(name.to_owned()), command: Command::Snapshot }
    }

    #[tokio::test]
    async fn commands_come_in_the_order_in_which_they_were_asked_and_each_has_its_answer() {
        let (commander, mut orders) = line(4);
        let answers = ["a", "b", "c"].map(|name| commander.ask(request(name)));
        for name in ["a", "b", "c"] {
            let order = orders.next().await.expect("it waits");
            assert_eq!(order.request, request(name));
            order.answer(Ok(name.into()));
        }
        for (answer, name) in answers.into_iter().zip(["a", "b", "c"]) {
            assert_eq!(answer.await, Ok(name.into()));
        }
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_does_not_pile_up() {
        let (commander, mut orders) = line(2);
        let kept = [commander.ask(request("a")), commander.ask(request("b"))];
        let refused = commander.ask(request("c")).await.expect_err("no room");
        assert_eq!(refused.kind, RefusalKind::NotNow);
        orders.next().await.expect("it waits").answer(Ok(Value::Null));
        let late = commander.clone().ask(request("d"));
        drop(orders);
        // What was never answered is refused, and so is what comes later.
        let [first, second] = kept;
        assert_eq!(first.await, Ok(Value::Null));
        for refused in [second.await, late.await, commander.ask(request("e")).await] {
            assert_eq!(refused.expect_err("nobody is there").reason, "the daemon is stopping");
        }
    }
}
