"""What evidence.py counts, on cases whose answers are known."""

import random
import unittest

import evidence

BOX, FAR = (0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 0.2, 0.2)
BOLT, NUT, OTHER = ("bolt", BOX), ("nut", BOX), ("bolt", FAR)


class Wrong(unittest.TestCase):
    def test_what_is_missed_or_invented_is_wrong(self):
        self.assertFalse(evidence.is_wrong([BOLT], [BOLT], [BOLT]))
        self.assertFalse(evidence.is_wrong([], [], [BOLT]), "it need not be found")
        self.assertTrue(evidence.is_wrong([], [BOLT], [BOLT]))
        self.assertTrue(evidence.is_wrong([BOLT], [], []))
        self.assertFalse(evidence.is_wrong([BOLT], [], [BOLT]), "it may be there")
        self.assertTrue(evidence.is_wrong([NUT], [BOLT], [BOLT]), "it is something else")
        self.assertTrue(evidence.is_wrong([BOLT, BOLT], [BOLT], [BOLT]), "it is there once")
        self.assertTrue(evidence.is_wrong([BOLT], [BOLT, OTHER], [BOLT, OTHER]))

    def test_runs_are_of_frames_close_together(self):
        times = [i / 10 for i in range(100)]
        found = evidence.runs({1, 2, 3, 12, 40, 51}, times)
        self.assertEqual(found, [{1, 2, 3, 12}, {40}, {51}])
        self.assertEqual(evidence.met(found, {3, 12, 51}), 2)

    def test_chance_is_as_in_drawing(self):
        draw = random.Random(2)
        drawn = [sum(1 for i in draw.sample(range(50), 12) if i < 20) for _ in range(20_000)]
        mean = sum(drawn) / len(drawn)
        deviation = (sum((d - mean) ** 2 for d in drawn) / len(drawn)) ** 0.5
        expected = evidence.by_chance(50, 20, 12)
        self.assertAlmostEqual(mean, expected[0], delta=0.05)
        self.assertAlmostEqual(deviation, expected[1], delta=0.05)


if __name__ == "__main__":
    unittest.main()
