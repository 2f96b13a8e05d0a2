"""The matrix: situations made for real, and for each what stock says, what hubcull says and what is right."""
