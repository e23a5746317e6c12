"""Following targets with a trained tracker."""
