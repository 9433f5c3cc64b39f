import unittest

from years import leap_year


class LeapYears(unittest.TestCase):
    def test_centuries(self):
        assert [leap_year(year) for year in (1900, 2000, 2024, 2026)] == [False, True, True, False]
