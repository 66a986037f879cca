"""generation: two nets that learn against each other, and what their pictures and tables are worth."""
