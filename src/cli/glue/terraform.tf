# Starts a job of the service `{{ service }}`, and waits for its end.
# The apply fails unless the job succeeds. Exit codes: {{ exits }}.
# JOBWATCH_TOKEN in the environment of Terraform has the write token, where the daemon needs one.
resource "terraform_data" "job" {
  # The job starts again when this changes.
  triggers_replace = [filesha256("${path.module}/create.sh")]

  provisioner "local-exec" {
    working_dir = path.module
    interpreter = ["/bin/sh", "-e", "-c"]
    environment = {
      JOBWATCH_URL = "{{ url }}"
    }
    # In place of ./create.sh: the command that starts the job, and prints the answer of the
    # cloud. If it prints the head too, as `curl -si` does, add the option -i.
    command = <<-EOT
      jobwatch do --service {{ service }} --label by=terraform{{ labels }} -- ./create.sh
    EOT
  }
}
