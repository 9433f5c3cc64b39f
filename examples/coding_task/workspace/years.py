def leap_year(year: int) -> bool:
    return year % 4 == 0
