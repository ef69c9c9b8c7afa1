use super::*;
use crate::outbox::tests::item;
use crate::outbox::{Kind, StoredFrame};
use crate::publish::mqtt::tests::detections;

fn seqs(queue: &Queue) -> Vec<u64> {
    queue.live.iter().chain(&queue.backlog).map(|d| d.frame.seq).collect()
}

#[test]
fn the_oldest_goes_first_and_is_counted() {
    let mut queue = Queue::new(3);
    for seq in 0..10 {
        queue.push(detections("line3", seq));
    }
    assert_eq!(seqs(&queue), [7, 8, 9]);
    assert_eq!(queue.dropped(), 7);
    assert!(queue.take().is_none(), "nothing leaves while the connection is away");
}

#[test]
fn the_window_bounds_what_is_on_its_way() {
    let mut queue = Queue::new(1000);
    queue.connect();
    for seq in 0..200 {
        queue.push(detections("line3", seq));
    }
    let mut taken = 0;
    while queue.take().is_some() {
        queue.handed(Sent::Forgotten);
        taken += 1;
    }
    assert_eq!(taken, WINDOW);
    queue.written(1);
    assert!(queue.take().is_none(), "written is not acknowledged");
    queue.acknowledged(1);
    assert!(queue.take().is_some());
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order() {
    let mut queue = Queue::new(10);
    queue.connect();
    for seq in 0..6 {
        queue.push(detections("line3", seq));
    }
    for _ in 0..4 {
        let Some(Next::Detections(d)) = queue.take() else { panic!("detections are due") };
        queue.handed(Sent::Detections(d));
    }
    // 0 is done, 1 and 2 wait for their acknowledgement, 3 was not even written.
    for id in [1, 2, 3] {
        queue.written(id);
    }
    queue.acknowledged(1);
    queue.disconnect();
    assert_eq!(seqs(&queue), [1, 2, 3, 4, 5]);
    assert_eq!(queue.on_their_way(), 0);
    assert_eq!(queue.dropped(), 0);
}

#[test]
fn live_goes_before_the_backlog_and_the_backlog_is_dropped_first() {
    let mut queue = Queue::new(4);
    for seq in 0..3 {
        queue.push(detections("line3", seq));
    }
    queue.connect();
    queue.push(detections("line3", 3));
    queue.push(detections("line3", 4));
    assert_eq!(seqs(&queue), [3, 4, 1, 2]);
    assert_eq!(queue.dropped(), 1);
    let mut sent = Vec::new();
    while let Some(Next::Detections(d)) = queue.take() {
        sent.push(d.frame.seq);
    }
    assert_eq!(sent, [3, 4, 1, 2]);
    for seq in 5..10 {
        queue.push(detections("line3", seq));
    }
    queue.disconnect();
    queue.push(detections("line3", 10));
    assert_eq!(seqs(&queue), [7, 8, 9, 10]);
}

#[test]
fn states_are_due_again_after_each_connection_and_only_their_latest_value() {
    let mut queue = Queue::new(10);
    queue.set_state("a/status".to_owned(), Bytes::from_static(b"1"));
    queue.set_state("a/status".to_owned(), Bytes::from_static(b"2"));
    queue.set_state("b/status".to_owned(), Bytes::from_static(b"1"));
    for _ in 0..3 {
        queue.connect();
        let mut seen = Vec::new();
        while let Some(Next::State { topic, payload }) = queue.take() {
            queue.handed(Sent::Forgotten);
            seen.push((topic, payload));
        }
        assert_eq!(
            seen,
            [("a/status".to_owned(), Bytes::from_static(b"2")), ("b/status".to_owned(), Bytes::from_static(b"1"))]
        );
        assert!(!queue.is_idle());
        queue.disconnect();
    }
}

#[test]
fn giving_up_counts() {
    let mut queue = Queue::new(10);
    queue.connect();
    queue.push(detections("line3", 0));
    queue.push(detections("line3", 1));
    assert_eq!(queue.left(), 2);
    assert_eq!(queue.give_up(), 2);
    assert!(queue.is_idle());
    assert_eq!(queue.dropped(), 2);
}

fn durable(seqs: std::ops::Range<u64>) -> Vec<Stored> {
    let stored = |seq| Stored { seq, item: item(Kind::Event, seq), frame: StoredFrame::None };
    seqs.map(stored).collect()
}

#[test]
fn items_of_the_outbox_are_of_one_connection_and_leave_by_acknowledgement() {
    let mut queue = Queue::new(10);
    queue.push(detections("line3", 0));
    let session = queue.connect();
    queue.push(detections("line3", 1));
    queue.push_backlog(session, durable(0..3));
    queue.push_live(session, durable(7..9));
    queue.push_live(session - 1, durable(20..21));
    let mut order = Vec::new();
    while let Some(next) = queue.take() {
        match next {
            Next::Durable(stored) => {
                order.push(stored.seq);
                queue.handed(Sent::Durable(stored.seq));
            }
            Next::Detections(d) => {
                order.push(100 + d.frame.seq);
                queue.handed(Sent::Detections(d));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(order, [7, 8, 101, 0, 1, 2, 100]);
    assert_eq!((queue.left(), queue.lost()), (7, 2));
    queue.written(1);
    queue.written(2);
    assert_eq!(queue.acknowledged(2), Some(8));
    assert_eq!(queue.acknowledged(2), None);
    queue.push_live(session, durable(9..10));
    queue.disconnect();
    assert_eq!(seqs(&queue), [0, 1], "detections are taken back, the others are in the outbox");
    queue.push_live(session, durable(10..11));
    let session = queue.connect();
    assert_eq!(queue.room_for_live(), WINDOW);
    queue.push_live(session, durable(10..11));
    assert!(matches!(queue.take(), Some(Next::Durable(stored)) if stored.seq == 10));
}
