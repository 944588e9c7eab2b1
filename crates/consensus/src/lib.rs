//! Snow consensus: the snowball family, the Snowman block tree and polls.
