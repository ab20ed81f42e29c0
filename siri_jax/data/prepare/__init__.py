"""Makes problem files: columns, answers, cleaning, the card."""
