"""The metrics of tracking.py on cases whose answers are known."""

import itertools
import random
import unittest

import tracking

BOX, FAR = (0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 0.2, 0.2)


class Metrics(unittest.TestCase):
    def test_what_is_right_is_100(self):
        frames = [{1: BOX, 2: FAR}] * 10
        for value in tracking.measure(frames, frames).values():
            self.assertAlmostEqual(value, 100)

    def test_a_track_that_changes_its_id_halfway(self):
        truth = [{1: BOX}] * 10
        tracks = [{"a": BOX}] * 5 + [{"b": BOX}] * 5
        m = tracking.measure(truth, tracks)
        # Every box is found; each of the two tracks shares 5 of 10 frames with the thing.
        self.assertAlmostEqual(m["det"], 100)
        self.assertAlmostEqual(m["ass"], 50)
        self.assertAlmostEqual(m["hota"], 100 * 0.5 ** 0.5)
        self.assertAlmostEqual(m["idf1"], 50)

    def test_half_of_the_boxes_missed(self):
        m = tracking.measure([{1: BOX, 2: FAR}] * 4, [{"a": BOX}] * 4)
        self.assertAlmostEqual(m["det"], 50)
        self.assertAlmostEqual(m["ass"], 100)
        self.assertAlmostEqual(m["idf1"], 100 * 2 / 3)

    def test_pairs_are_the_best_ones(self):
        draw = random.Random(1)
        for _ in range(300):
            n, m = draw.randint(1, 4), draw.randint(1, 5)
            gains = {(r, c): draw.randint(1, 9) for r in range(n) for c in range(m) if draw.random() < 0.6}
            best = 0
            for columns in itertools.permutations(list(range(m)) + [None] * n, n):
                best = max(best, sum(gains.get((r, c), 0) for r, c in enumerate(columns)))
            pairs = tracking.best_pairs(gains)
            self.assertEqual(sum(gains[pair] for pair in pairs), best)
            self.assertEqual(len({r for r, _ in pairs}), len(pairs))
            self.assertEqual(len({c for _, c in pairs}), len(pairs))

    def test_the_plain_tracker_follows_and_counts(self):
        tracker = tracking.IouTracker(10)
        frames = [tracker.step([(0.02 * i, 0.1, 0.2, 0.2)]) for i in range(45)]
        self.assertEqual({key for frame in frames for key in frame}, {1})
        self.assertEqual(tracking.crossings(frames), 1)


if __name__ == "__main__":
    unittest.main()
