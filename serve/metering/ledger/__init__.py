"""What was consumed, booked once: postings, roll-ups, the second witness, and the proof that all adds up."""
