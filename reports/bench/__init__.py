"""How fast the harness itself is: what ``make bench`` measured, judged against what was accepted."""
