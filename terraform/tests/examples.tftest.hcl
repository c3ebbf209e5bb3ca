# What the examples say they do.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "replica"
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "copy"
  source = "./tests/mocks"
}

variables {
  bucket_name        = "acme-backups"
  image              = "ghcr.io/acme/offsite:0.1.0"
  file_system_id     = "fs-0123456789abcdef0"
  subnet_ids         = ["subnet-0123456789abcdef0"]
  security_group_ids = ["sg-0123456789abcdef0"]
  alarm_emails       = ["ops@example.com"]
}

run "replicated_archives_sessions_and_tags_them" {
  module {
    source = "./examples/replicated"
  }

  assert {
    condition     = jsonencode(yamldecode(output.configuration).backup.sources) == jsonencode([{ name = "raw", sessions = "/fits/raw", tags = { archive = "normal" } }])
    error_message = output.configuration
  }
}

run "bucket_to_s3_reads_the_bucket_and_has_a_role_that_writes_it_back" {
  module {
    source = "./examples/bucket-to-s3"
  }

  variables {
    source_bucket_name = "acme-documents"
  }

  assert {
    condition = jsonencode(yamldecode(output.configuration).backup.sources) == jsonencode([
      { name = "documents", bucket = { name = "acme-documents", prefix = "uploads/", only = ["images", "documents"] }, exclude = ["*.tmp"] },
    ])
    error_message = output.configuration
  }
}

run "copied_has_a_copy_below_its_own_prefix" {
  module {
    source = "./examples/copied"
  }

  assert {
    condition = jsonencode(yamldecode(output.configuration).backup.copies) == jsonencode([
      { region = "eu-west-1", required = true, store = "s3://acme-backups-copy/mail/" },
    ])
    error_message = output.configuration
  }
}
